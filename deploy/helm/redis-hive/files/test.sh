#!/bin/sh
# Writes a key through the write Service and reads it through the read Service.
#
# WRITE_AT, READ_AT  where they are, HOST:PORT; no READ_AT: there is no read Service
# PASSWORD_FILE      its first line is the password; empty: none is asked for
# TLS_DIR            where ca.crt, tls.crt and tls.key are; empty: no TLS
# TLS_NAME           the name in the certificates
# TRIES              how often, once a second, each of the two is tried
set -eu

key="redis-hive-test:$(hostname):$$"

cli=$(command -v redis-cli || command -v valkey-cli)
if [ -n "${PASSWORD_FILE-}" ]; then
    # A last line without an end is a line too. A line may end as on Windows.
    if IFS= read -r REDISCLI_AUTH <"$PASSWORD_FILE"; then
        REDISCLI_AUTH=${REDISCLI_AUTH%"$(printf '\r')"}
    fi
    export REDISCLI_AUTH
fi
set --
if [ -n "${TLS_DIR-}" ]; then
    set -- --tls --sni "$TLS_NAME" --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key"
fi

# Until a command is answered so.
expect() { # ANSWER ADDRESS WORDS...
    answer=$1 address=$2
    shift 2
    for _ in $(seq "${TRIES-30}"); do
        given=$("$cli" -h "${address%:*}" -p "${address##*:}" "$@" 2>&1) || true
        [ "$given" != "$answer" ] || return 0
        sleep 1
    done
    echo "$address answers '$given' instead of '$answer'" >&2
    return 1
}

expect OK "$WRITE_AT" "$@" SET "$key" here EX 60
echo "written through $WRITE_AT"
if [ -n "${READ_AT-}" ]; then
    expect here "$READ_AT" "$@" GET "$key"
    echo "read through $READ_AT"
fi

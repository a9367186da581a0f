#!/bin/sh
# Writes a key through the write Service and reads it through the read Service.
#
# WRITE_HOST, WRITE_PORT, READ_HOST, READ_PORT  where they are; no READ_HOST: there is no read Service
# PASSWORD_FILE  its first line is the password; empty: none is asked for
# TLS_DIR        where ca.crt, tls.crt and tls.key are; empty: no TLS
# TLS_NAME       the name in the certificates
set -eu

key="redis-hive-test:$$:$(date +%s)"
seconds=30

cli=$(command -v redis-cli || command -v valkey-cli)
if [ -n "${PASSWORD_FILE-}" ]; then
    IFS= read -r REDISCLI_AUTH <"$PASSWORD_FILE" || [ -n "$REDISCLI_AUTH" ]
    export REDISCLI_AUTH
fi
set --
if [ -n "${TLS_DIR-}" ]; then
    set -- --tls --sni "$TLS_NAME" --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key"
fi

# Until the answer of a command is this one.
expect() { # ANSWER WORDS...
    answer=$1
    shift
    for _ in $(seq "$seconds"); do
        given=$("$cli" "$@" 2>&1) || true
        [ "$given" != "$answer" ] || return 0
        sleep 1
    done
    echo "no '$answer' but '$given'" >&2
    return 1
}

expect OK "$@" -h "$WRITE_HOST" -p "$WRITE_PORT" SET "$key" here EX 60
echo "written through $WRITE_HOST:$WRITE_PORT"
if [ -n "${READ_HOST-}" ]; then
    expect here "$@" -h "$READ_HOST" -p "$READ_PORT" GET "$key"
    echo "read through $READ_HOST:$READ_PORT"
fi

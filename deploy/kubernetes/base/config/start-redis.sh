#!/bin/sh
# Starts Redis or Valkey so that it can never be a master by accident: empty and parked. The hive beside
# it decides what it becomes. The configuration goes in on standard input, so that no secret is ever an
# argument or in a file of the container.
#
# REDIS_CONF_DIR       more settings, *.conf, read first, so that they cannot undo what follows
# REDIS_PASSWORD_FILE  passwords, one a line: the first is used, all are accepted; empty: none is asked for
# REDIS_DATA           the working directory of Redis
set -eu
umask 077

conf_dir=${REDIS_CONF_DIR-/etc/redis-hive}
password_file=${REDIS_PASSWORD_FILE-}
data=${REDIS_DATA-/data}

fail() {
    echo "start-redis: $1" >&2
    exit 64
}

server() {
    command -v redis-server || command -v valkey-server || fail "neither redis-server nor valkey-server is here"
}

# The hive controls Redis by these commands, under their own names.
refuse_renamed() { # FILE
    while read -r word command _ || [ -n "$word" ]; do
        case $word in
        [Rr][Ee][Nn][Aa][Mm][Ee]-*) ;;
        *) continue ;;
        esac
        command=$(printf '%s' "$command" | tr -d "\"'" | tr '[:upper:]' '[:lower:]')
        case $command in
        acl | auth | client | config | hello | info | ping | psync | replconf | replicaof | role | script | slaveof)
            fail "$1 renames $command, which the hive needs; take the right from users by ACL instead"
            ;;
        esac
    done <"$1"
}

# A value as Redis reads it between double quotes.
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

passwords() {
    first=
    accepted=
    count=0
    while IFS= read -r line || [ -n "$line" ]; do
        [ -n "$line" ] || continue
        line=$(quoted "$line")
        [ "$count" -gt 0 ] || first=$line
        accepted="$accepted \">$line\""
        count=$((count + 1))
    done <"$password_file"
    [ "$count" -gt 0 ] || fail "$password_file holds no password"
    printf 'masterauth "%s"\nrequirepass "%s"\n' "$first" "$first"
    [ "$count" -eq 1 ] || printf 'user default on ~* &* +@all%s\n' "$accepted"
}

settings() {
    for file in "$conf_dir"/*.conf; do
        [ ! -f "$file" ] || printf 'include "%s"\n' "$file"
    done
    printf '%s\n' \
        'replicaof 127.0.0.1 1' \
        'replica-serve-stale-data no' \
        'save ""' \
        'appendonly no' \
        'dbfilename dump.rdb' \
        'repl-diskless-sync yes' \
        'repl-diskless-sync-delay 0' \
        'repl-backlog-ttl 0' \
        'rdb-del-sync-files yes' \
        'repl-diskless-load disabled' \
        'daemonize no' \
        "dir \"$data\""
    if [ -n "$password_file" ]; then
        passwords
    else
        echo 'protected-mode no'
    fi
}

program=$(server)
for file in "$conf_dir"/*.conf; do
    [ ! -f "$file" ] || refuse_renamed "$file"
done
# A kept file would be loaded as if it were fresh.
rm -f -- "$data"/*.rdb "$data/.settings"
# A pipe with a name: this process writes it and becomes the reader, so none stays behind.
mkfifo "$data/.settings"
exec 3<>"$data/.settings"
exec 4<"$data/.settings"
rm -f -- "$data/.settings"
settings >&3
exec 3>&- "$program" - <&4 4<&-

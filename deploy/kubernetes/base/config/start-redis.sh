#!/bin/sh
# Starts Redis or Valkey so that it can never be a master by accident: empty and parked. The hive beside
# it decides what it becomes. The configuration goes in on standard input, so that no secret is ever an
# argument or in a file of the container.
#
# REDIS_CONF_DIR       more settings, *.conf: redis.conf, then the others by name; all of them are read
#                      before what follows here, so that they cannot undo it
# REDIS_PASSWORD_FILE  passwords, one a line: the first is used, all are accepted; empty: none is asked for
# HIVE_REDIS_USERNAME  the ACL user as which hive and replicas log in, made here; empty: the default one
# REDIS_DATA           the working directory of Redis
set -eu
umask 077

conf_dir=${REDIS_CONF_DIR-/etc/redis-hive}
password_file=${REDIS_PASSWORD_FILE-}
username=${HIVE_REDIS_USERNAME-}
data=${REDIS_DATA-/data}
# The most passwords that the hive takes.
passwords_max=4
# What the user of the hive may do: docs/security.md.
rights='-@all +info +replicaof +config|get +config|set +client|setname +client|list +client|pause +client|unpause +psync +replconf'
carriage_return=$(printf '\r')
line_end='
'

fail() {
    echo "start-redis: $1" >&2
    exit 64
}

server() {
    command -v redis-server || command -v valkey-server || fail "neither redis-server nor valkey-server is here"
}

# Calls this with each file of settings, in the order in which Redis reads them.
each_conf() { # COMMAND...
    [ ! -f "$conf_dir/redis.conf" ] || "$@" "$conf_dir/redis.conf"
    for conf in "$conf_dir"/*.conf; do
        [ "$conf" = "$conf_dir/redis.conf" ] || [ ! -f "$conf" ] || "$@" "$conf"
    done
}

# The settings in a file, one a line as "NAME FIRST-ARGUMENT": small letters, without quotes.
names_in() { # FILE
    { tr -d "\"'\r" <"$1" && echo; } | tr '[:upper:]' '[:lower:]' | while read -r name first _; do
        printf '%s %s\n' "$name" "$first"
    done
}

# The hive controls Redis by these commands, under their own names. What a file includes is not looked at.
check() { # FILE
    names_in "$1" | while read -r name first; do
        case $name in
        include) fail "$1 includes $first: put that file into $conf_dir, which is read as a whole" ;;
        rename-command) ;;
        *) continue ;;
        esac
        case $first in
        acl | auth | client | config | hello | info | ping | psync | replconf | replicaof | role | script | slaveof)
            fail "$1 renames $first, which the hive needs; take the right from users by ACL instead"
            ;;
        esac
    done
}

# A value as Redis reads it between double quotes.
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# The hive reads its file by the same rules. Sets `first` and, as words of an ACL rule, `accepted`.
read_passwords() {
    accepted=
    count=0
    lines=0
    while IFS= read -r line; do
        take "${line%"$carriage_return"}"
    done <"$password_file"
    # What follows the last end of a line.
    [ -z "$line" ] || take "$line"
    [ "$count" -gt 0 ] || fail "$password_file holds no password"
    [ "$count" -le "$passwords_max" ] || fail "$password_file holds more than $passwords_max passwords"
}

take() { # LINE
    lines=$((lines + 1))
    if [ -z "$1" ]; then
        [ "$lines" -gt 1 ] || fail "the first line of $password_file is empty: it holds no password"
        return 0
    fi
    word=$(quoted "$1")
    [ "$count" -gt 0 ] || first=$word
    accepted="$accepted \">$word\""
    count=$((count + 1))
}

# Whether a file sets this to that, both in small letters.
is_set() { # NAME FIRST-ARGUMENT
    case $names in
    *"$line_end$1 $2$line_end"*) return 0 ;;
    *) return 1 ;;
    esac
}

has_acl_file() {
    case $names in
    *"${line_end}aclfile "[!"$line_end"]*) return 0 ;;
    *) return 1 ;;
    esac
}

# As whom this Redis logs in to its master, and who may log in here.
users() {
    printf 'masterauth "%s"\n' "$first"
    [ -z "$username" ] || printf 'masteruser "%s"\n' "$(quoted "$username")"
    # Beside such a file Redis takes no user from elsewhere.
    ! has_acl_file || return 0
    own=$(printf '%s' "${username:-default}" | tr '[:upper:]' '[:lower:]')
    ! is_set user "$own" || fail "$conf_dir has the user $own, who is made of $password_file"
    [ -z "$username" ] || printf 'user "%s" on%s %s\n' "$(quoted "$username")" "$accepted" "$rights"
    ! is_set user default || return 0
    printf 'requirepass "%s"\n' "$first"
    [ "$count" -eq 1 ] || printf 'user default on ~* &* +@all%s\n' "$accepted"
}

settings() {
    each_conf printf 'include "%s"\n'
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
        users
    else
        echo 'protected-mode no'
    fi
}

program=$(server)
each_conf check
names=$line_end$(each_conf names_in)$line_end
[ -z "$password_file" ] || read_passwords
# A kept file would be loaded as if it were fresh.
rm -f -- "$data"/*.rdb "$data/.settings"
# A pipe with a name: this process writes it and becomes the reader, so none stays behind.
mkfifo "$data/.settings"
exec 3<>"$data/.settings"
exec 4<"$data/.settings"
rm -f -- "$data/.settings"
settings >&3
exec 3>&- "$program" - <&4 4<&-

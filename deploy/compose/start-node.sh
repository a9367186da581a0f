#!/bin/sh
# Redis and its hive in one container. Redis stops last: the hive is told to stop, and Redis when the hive
# has gone. Where one of them dies the other is stopped too, and the container restarts.
set -eu

/bin/sh "${START_REDIS-/etc/redis-hive/start-redis.sh}" &
redis=$!
"${HIVE-redis-hive}" run &
hive=$!
trap 'kill -TERM "$hive" 2>/dev/null || true' TERM INT

# The shell learns of a child's end in `wait`; a signal ends it early.
while kill -0 "$redis" 2>/dev/null && kill -0 "$hive" 2>/dev/null; do
    sleep 1 &
    wait "$!" || true
done

code=0
kill -TERM "$hive" 2>/dev/null || true
wait "$hive" || code=$?
kill -TERM "$redis" 2>/dev/null || true
wait "$redis" || true
exit "$code"

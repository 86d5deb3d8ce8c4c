#!/bin/sh
# postgres.sh [SECONDS]: a real database in a container, under load from the host; then it is stopped, started, killed,
# started, loses its supervisor and is started again. No transaction that was acknowledged may be lost.
#
# Runs as an unprivileged user, with pgbench and psql on the host. RL is the command with its options and a store that
# has `postgres`; without it, one of its own is made of RL_BINARY and RL_TEST_CACHE/postgres.tar.gz. The surprise: what
# counts as acknowledged is pgbench's own log, a line a transaction, and each transaction writes the number that it will
# have there.
set -eu
seconds=${1:-600}
port=${RL_PORT:-5433}
work=$(mktemp -d /var/tmp/rl-postgres.XXXXXX)
mkdir -m 700 "$work/data" "$work/run"
if [ -z "${RL:-}" ]; then
	RL="$RL_BINARY --root $work/data --runroot $work/run"
	$RL import -q "${RL_TEST_CACHE:-/var/cache/rl-tests}/postgres.tar.gz" postgres >/dev/null
fi
# shellcheck disable=SC2086
rl() { $RL "$@"; }
load=
finish() {
	[ -z "$load" ] || kill "$load" 2>/dev/null || :
	rl rm -f -t 0 db >/dev/null 2>&1 || :
	rl volume rm data >/dev/null 2>&1 || :
	rl unshare rm -rf "$work/data" >/dev/null 2>&1 || :
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
sql() { psql -qAtX -h 127.0.0.1 -p "$port" -U postgres -c "$1" "${2:-bench}"; }
fail() { say "FAILED: $*"; rl logs --tail 20 db || :; exit 1; }

# Until its health check says so; 120 s at most.
healthy() {
	tries=600
	until [ "$(rl inspect -f '{{.State.Health.Status}}' db)" = healthy ]; do
		tries=$((tries - 1))
		if [ $tries = 0 ] || [ "$(rl inspect -f '{{.State.Running}}' db)" != true ]; then
			fail "the database is not healthy: $(rl inspect -f '{{json .State}}' db)"
		fi
		sleep 0.2
	done
}

cat >"$work/script" <<'SQL'
\set n :n + 1
\set aid random(1, 100000)
\set tid random(1, 10)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, 1, :aid, :delta, CURRENT_TIMESTAMP);
INSERT INTO told (round, client, n) VALUES (:round, :client_id, :n);
END;
SQL

# loaded ROUND SECONDS COMMAND...: the command after so many seconds of load, which ends with the database.
round=0
loaded() {
	long=$1
	shift
	round=$((round + 1))
	pgbench -h 127.0.0.1 -p "$port" -U postgres -n -c 8 -T 100000 -f "$work/script" -D n=0 -D round=$round \
		-l --log-prefix="$work/log$round" bench >"$work/out" 2>&1 &
	load=$!
	sleep "$long"
	kill -0 "$load" 2>/dev/null || fail "the load has ended early: $(tail -n 3 "$work/out")"
	"$@" || fail "$*"
	wait "$load" || :
	load=
	# "3 17 ...": client 3, its transaction 17.
	sed "s/^\([0-9]*\) \([0-9]*\) .*/$round|\1|\2/" "$work/log$round".* >>"$work/acknowledged"
}

# What was acknowledged is there, and the sums agree.
checked() {
	sql 'SELECT round, client, n FROM told' | sort >"$work/there"
	sort "$work/acknowledged" >"$work/wanted"
	lost=$(comm -13 "$work/there" "$work/wanted" | wc -l)
	extra=$(comm -23 "$work/there" "$work/wanted" | wc -l)
	[ "$lost" = 0 ] || fail "$lost of $(wc -l <"$work/wanted") acknowledged transactions are lost"
	# Committed, but the answer did not arrive: at most one of each client in each round.
	[ "$extra" -le $((8 * round)) ] || fail "$extra transactions that nobody has heard of"
	sums=$(sql 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
		AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)')
	[ "$sums" = t ] || fail "the sums differ"
	say "$1: $(wc -l <"$work/wanted") acknowledged, none lost; $extra more committed"
}

lose_supervisor() {
	pid=$(rl inspect -f '{{.State.Pid}}' db)
	kill -9 "$(sed -n 's/^PPid:\t//p' "/proc/$pid/status")"
	tail --pid="$pid" -f /dev/null
}

again() {
	[ "$(rl inspect -f '{{.State.Running}}' db)" = false ] || fail "it runs"
	rl start db >/dev/null
	healthy
}

rl run -d --name db -v data:/var/lib/postgresql -p "127.0.0.1:$port:5432" -u postgres --stop-signal INT \
	--health-cmd 'pg_isready -q -h 127.0.0.1' --health-interval 500ms --health-retries 20 \
	postgres serve -k /tmp >/dev/null
healthy
sql 'CREATE DATABASE bench' postgres
pgbench -q -i -h 127.0.0.1 -p "$port" -U postgres bench >/dev/null 2>&1
sql 'CREATE TABLE told (round int, client int, n int)'
say "loaded for $seconds s"
loaded "$seconds" rl stop -t 60 db >/dev/null
[ "$(rl inspect -f '{{.State.ExitCode}}' db)" = 0 ] || fail "it was not shut down in order"
again
checked "stopped and started"
loaded $((seconds / 20 + 2)) rl kill -s KILL db >/dev/null
again
checked "killed and started"
loaded $((seconds / 20 + 2)) lose_supervisor
again
checked "its supervisor killed, and started"
[ "$(rl inspect -f '{{.State.Health.Status}}' db)" = healthy ] || fail "it is not healthy"

#!/bin/sh
# make-postgres.sh FILE: a small Debian with PostgreSQL, a flat tar.gz. Its package makes an empty cluster in
# /var/lib/postgresql, with which a new volume there is filled. Needs root and mmdebstrap.
set -eu
if [ "${1:-}" = --cluster ]; then
	# Called back by mmdebstrap with the root directory: one cluster, whatever the version, that answers everybody who
	# can reach it.
	for etc in "$2"/etc/postgresql/*/main; do
		version=${etc#"$2"/etc/postgresql/}
		version=${version%/main}
		echo "host all all 0.0.0.0/0 trust" >>"$etc/pg_hba.conf"
		cat >"$2/usr/local/bin/serve" <<-SERVE
			#!/bin/sh
			exec /usr/lib/postgresql/$version/bin/postgres -D /var/lib/postgresql/$version/main \\
			    -c config_file=/etc/postgresql/$version/main/postgresql.conf -c 'listen_addresses=*' -c ssl=off "\$@"
		SERVE
		chmod 755 "$2/usr/local/bin/serve"
	done
	rm -rf "$2"/usr/share/locale "$2"/usr/share/doc "$2"/usr/share/man
	exit 0
fi
out=$(readlink -f "$(dirname "$1")")/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
self=$(readlink -f "$0")
mmdebstrap --quiet --variant=minbase --include=postgresql \
	--customize-hook="'$self' --cluster \"\$1\"" bookworm "$work/root.tar"
gzip -1 <"$work/root.tar" >"$out"

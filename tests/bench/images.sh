# shellcheck shell=sh disable=SC2154,SC2034,SC2086
# images.sh: the rows about images; read by run.sh, whose variables and row() it uses.
#
# One archive of some 200 MB (tests/make-big.sh, $cache/big.tar.gz) is imported, and as the one layer of an image pulled
# from a registry on loopback, by everybody. Every run has a store of its own, empty; what the run before has left to
# write to the disk is written first, so that nobody pays for another's pages. podman has its fastest driver, native
# overlay. The surprise: the last column is processor time beside the peer's, which a busy machine does not change.

big=$(readlink -f "$cache/big.tar.gz")
registry=
port=

# A registry of our own: it says in its log which port it got.
start_registry() {
	mkdir "$work/registry"
	cat >"$work/registry.yml" <<-END
		{version: 0.1, log: {level: info}, http: {addr: '127.0.0.1:0'},
		storage: {filesystem: {rootdirectory: '$work/registry'}}}
	END
	mkfifo "$work/registry.log"
	docker-registry serve "$work/registry.yml" >/dev/null 2>"$work/registry.log" &
	registry=$!
	exec 8<"$work/registry.log"
	while read -r line <&8; do
		case $line in *'listening on 127.0.0.1:'*) break ;; esac
	done
	port=${line#*listening on 127.0.0.1:}
	port=${port%%[!0-9]*}
	# Nobody reads the rest, and a full pipe would stop it.
	cat <&8 >/dev/null &
}

# fresh: a store for each of them, a directory to unpack into, at $work/now. What a run has made is never deleted before
# the last one has ended: for minutes after that ext4 looks for free inodes among those that were deleted.
prepare() {
	cat >"$work/fresh" <<-END
		#!/bin/sh
		dir=\$(mktemp -d "$work/run.XXXXXX")
		mkdir "\$dir/data" "\$dir/run" "\$dir/podman" "\$dir/unpacked" "\$dir/xdg"
		chmod 700 "\$dir/data" "\$dir/run" "\$dir/xdg"
		ln -sfn "\$dir" "$work/now"
		$rl images -q
		! command -v podman || $podman images -q
		sync
		exit 0
	END
	cat >"$work/skopeo-umoci" <<-END
		#!/bin/sh
		set -e
		skopeo copy -q --src-tls-verify=false docker://$image oci:$work/now/layout:1
		umoci unpack --rootless --image $work/now/layout:1 $work/now/unpacked/bundle
	END
	cat >"$work/have" <<-END
		#!/bin/sh
		"$work/fresh"
		$rl import -q $big big && $podman import -q $big big && sync
	END
	chmod +x "$work/fresh" "$work/skopeo-umoci" "$work/have"
}

# The size of the largest process of a command, in MB: GNU time knows its children, too.
peak() {
	what=$1 limit=$2
	shift 2
	"$work/fresh" >/dev/null 2>&1
	/usr/bin/time -q -f %M -o "$work/peak" "$@" >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; echo "bench: $what failed" >&2; exit 1; }
	megabytes=$(awk '{ print $1 / 1000 }' "$work/peak")
	printf '%-34s %9.1f MB %32s\n' "$what" "$megabytes" "$limit"
	printf '{"row":"%s","peak_mb":%s,"limit":"%s"}\n' "$what" "$megabytes" "$limit" >>"$work/rows"
}

images() {
	size=$(($(stat -c %s "$big") / 1000000))
	own=$rl
	rl="$binary --root $work/now/data --runroot $work/now/run"
	# A run directory of its own: podman's namespace is held by a process that is found through it.
	podman="env XDG_RUNTIME_DIR=$work/now/xdg podman --root $work/now/podman/root --runroot $work/now/podman/run"
	podman="$podman --tmpdir $work/now/podman/tmp --storage-driver overlay"
	start_registry
	image=127.0.0.1:$port/big:1
	prepare
	"$work/fresh" >/dev/null 2>&1
	$rl import -q "$big" "$image" >/dev/null
	$rl push -q "$image" >/dev/null
	rounds=$slow warmups=0 fresh=$work/fresh
	row "pull of $size MB" 0.33 "$fresh" 1 "$rl pull -q $image" podman "$podman pull -q --tls-verify=false $image"
	row "pull of $size MB" - "$fresh" 1 "$rl pull -q $image" umoci "$work/skopeo-umoci"
	# No namespace may make the archive's few device nodes, and tar would fail over them.
	row "import of $size MB .tar.gz" 0.7 "$fresh" 1 "$rl import -q $big big" tar \
		"unshare --map-root-user --map-auto tar -C $work/now/unpacked --exclude=./dev/* -xzf $big"
	row "import of $size MB .tar.gz" 0.25 "$fresh" 1 "$rl import -q $big big" podman "$podman import -q $big big"
	row "rmi" - "$work/have" 1 "$rl rmi big" podman "$podman rmi big"
	if [ -x /usr/bin/time ]; then
		peak "peak memory of pull" "< 100" $rl pull -q "$image"
		peak "peak memory of import" "< 100" $rl import -q "$big" big
		peak "peak memory of podman pull" "" $podman pull -q --tls-verify=false "$image"
	fi
	kill "$registry"
	registry=
	for dir in "$work"/run.*; do
		XDG_RUNTIME_DIR="$dir/xdg" podman --root "$dir/podman/root" --runroot "$dir/podman/run" \
			--tmpdir "$dir/podman/tmp" system migrate >/dev/null 2>&1 || true
		$own unshare rm -rf "$dir"
	done
	rl=$own
}

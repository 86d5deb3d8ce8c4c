#!/bin/sh
# pass.sh PASS DIR: runs the archived tests that belong to one pass, as whoever calls it. DIR is what run.sh has laid
# out: the archive, the tree, the binary under test, nextest.
#
# A test's modules say where it belongs: `as_user::`, `as_root::`, `nested::` to that pass alone, `full_map::` to those
# in which several ids are mapped. What does not belong to a pass is not run in it and not counted.
set -eu
pass=$1
dir=$2
# The virtual machine has a runner of its own, tests/vm/run.
outside="not binary(vm)"
# Of the crates' own unit tests and the repository's rules, once is enough.
again="kind(test) and not binary(hygiene)"
case $pass in
user) filter="not test(/as_root::|nested::/)" ;;
root) filter="$again and not test(/as_user::|nested::/)" ;;
nested) filter="$again and not test(/as_user::|as_root::|full_map::/)" ;;
*) echo "pass.sh: no pass is called $pass" >&2; exit 2 ;;
esac
export RL_TEST_AS="$pass" RL_BINARY="$dir/rl" RL_CARGO_METADATA="$dir/metadata.json"
# A marker of the outer cargo would make the tests believe that they stand in the clone.
unset CARGO_MANIFEST_DIR CARGO_TARGET_DIR
# nextest looks at where it stands, and the clone may be closed to this user.
cd "$dir/src"
exec "$dir/cargo-nextest" nextest run --archive-file "$dir/tests.tar.zst" --workspace-remap "$dir/src" \
	--config-file "$dir/src/.config/nextest.toml" --no-fail-fast --show-progress none \
	--status-level fail --final-status-level fail -E "$outside and $filter${RL_TEST_FILTER:+ and ($RL_TEST_FILTER)}"

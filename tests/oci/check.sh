# shellcheck shell=bash
# check.sh: to be sourced by the scripts beside it, which run clients that no one here wrote and say what each has to
# print.
#
# Owns the counts `failed` and `count`. The surprise: a command's words must be programs, because timeout(1) knows no
# functions.
failed=0 count=0

# verdict NAME STATUS PATTERN SEEN OUTPUT: `ok NAME` where the status is that one and the output matches the pattern
# (of the shell's [[ ]]).
verdict() {
	count=$((count + 1))
	# shellcheck disable=SC2053 # A pattern.
	if [ "$4" = "$2" ] && [[ $5 == $3 ]]; then
		echo "ok $1"
	else
		failed=$((failed + 1))
		printf 'FAIL %s: status %s, wanted %s and %s; it said: %s\n' "$1" "$4" "$2" "$3" "$5"
	fi
}

# check NAME [=STATUS] PATTERN COMMAND...: both streams of a command that gets no input; its status must be 0, or the
# one given.
check() {
	local what=$1 want=0 out
	shift
	case $1 in =*) want=${1#=}; shift ;; esac
	local pattern=$1
	shift
	out=$(timeout 60 "$@" 2>&1 </dev/null)
	verdict "$what" "$want" "$pattern" $? "$out"
}

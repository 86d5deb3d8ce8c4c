#!/bin/bash
# matrix.sh RL PODMAN DIR: the same session with rl and with podman, word for word, and what the two say and
# end with.
#
# To be run as an unprivileged user, with an image `busybox.tar` in RL_TEST_CACHE. RL and PODMAN are programs (or
# scripts) that have stores of their own, which are empty; files go into DIR. Prints `ok NAME` or `FAIL NAME` with
# both answers, and ends with the number of failures. What is known to be different is a line of its own (`apart`),
# and docs/podman.md says why: it fails when it no longer is. The surprise: only what both must agree on is
# compared; ids, times and sizes become the same word first.
# What stands in single quotes here is for shells in containers, and templates.
# shellcheck disable=SC2016
set -u
rl=$1 podman=$2 dir=$3
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
I=localhost/busybox:latest
failed=0 count=0
mkdir -p "$dir/rl" "$dir/podman"

# ask WHO WORDS...: stdout to $dir/WHO/out, the status to $dir/WHO/status. Each in a directory of its own, for
# files; the one called $stdin is on stdin.
ask() {
	local who=$1 program=$rl
	shift
	[ "$who" = rl ] || program=$podman
	(cd "$dir/$who" && timeout 60 "$program" "$@" >out 2>err <"${stdin:-/dev/null}"; echo $? >status)
}

# plain: ids, times and spaces at the ends of lines say nothing.
plain() {
	sed -E 's/(sha256:)?[0-9a-f]{64}/ID/g; s/\b[0-9a-f]{12}\b/ID/g
		s/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+ ?(Z|[+-][0-9:]+( UTC)?)?/TIME/g
		s/(Less than a|About an?|[0-9]+) (second|minute|hour)s?( ago)?/TIME/g; s/[ \t]+$//' "$1"
}

# Columns of a table: its first line, as words with single blanks.
head_of() { head -n1 "$1" | sed -E 's/ {2,}/|/g; s/[|]$//'; }

told() {
	failed=$((failed + 1))
	printf 'FAIL %s\n' "$1"
	local who
	for who in rl podman; do
		printf '  %s: status %s\n' "$who" "$(cat "$dir/$who/status")"
		sed 's/^/    /' "$dir/$who/seen" | head -n 15
		head -n 3 "$dir/$who/err" | sed 's/^/    stderr: /'
	done
}

# same HOW NAME WORDS...: HOW is `out`, `sorted`, `head` or `status`.
same() {
	local how=$1 name=$2 who
	shift 2
	for who in rl podman; do
		ask "$who" "$@"
		case $how in
		out) plain "$dir/$who/out" >"$dir/$who/seen" ;;
		sorted) plain "$dir/$who/out" | sort >"$dir/$who/seen" ;;
		head) head_of "$dir/$who/out" >"$dir/$who/seen" ;;
		status) : >"$dir/$who/seen" ;;
		esac
	done
	count=$((count + 1))
	if cmp -s "$dir/rl/seen" "$dir/podman/seen" && cmp -s "$dir/rl/status" "$dir/podman/status"; then
		echo "ok $name"
	else
		told "$name"
	fi
}

# apart RL PODMAN NAME WORDS...: the two statuses, which differ for a reason that docs/podman.md gives.
apart() {
	local ours=$1 theirs=$2 name=$3
	shift 3
	ask rl "$@"
	ask podman "$@"
	: >"$dir/rl/seen"; : >"$dir/podman/seen"
	count=$((count + 1))
	if [ "$(cat "$dir/rl/status")" = "$ours" ] && [ "$(cat "$dir/podman/status")" = "$theirs" ]; then
		echo "ok $name"
	else
		told "$name"
	fi
}

# field NAME TEMPLATE: of the container `one`.
field() { same out "inspect $1" inspect --type container -f "$1" "${2:-one}"; }

run() { same "$1" "$2" run --rm --network none "${@:3}"; }

same status import import -q "$cache/busybox.tar" localhost/busybox
run out 'run echo' $I echo hello
run status 'run status' $I sh -c 'exit 7'
run status 'run not found' $I no-such-command
run status 'run not executable' $I /etc
run status 'run killed' $I sh -c 'kill -9 $$'
run status 'run bad flag' --no-such-flag $I true
apart 0 126 'run in a directory that is not there' run --rm --network none -w /made/here $I pwd
apart 125 126 'run in a file' run --rm --network none -w /bin/busybox $I pwd
run out 'run env' -e A=one -e B $I sh -c 'echo $A-$B-'
run out 'run workdir' -w /tmp $I pwd
run out 'run user' -u 33:44 $I sh -c 'id -u; id -g'
run out 'run groups' -u 33 --group-add 44 $I id -G
run out 'run hostname' --hostname box $I hostname
run status 'run read-only' --read-only $I touch /x
run out 'run entrypoint' --entrypoint echo $I a b
run out 'run entrypoint of words' --entrypoint '["echo","x"]' $I a
run out 'run umask' $I sh -c umask
run out 'run without capabilities' --cap-drop all $I sh -c 'grep Cap /proc/self/status | sort'
run out 'run with some capabilities' --cap-drop all --cap-add chown,net_raw $I sh -c 'grep Cap /proc/self/status | sort'
run out 'run no_new_privs' $I sh -c 'grep NoNewPrivs /proc/self/status'
run out 'run ulimit' --ulimit nofile=100:200 $I sh -c 'ulimit -n; ulimit -Hn'
run out 'run tmpfs' --tmpfs /t:size=1m $I sh -c 'df -k /t | tail -n1 | tr -s " " | cut -d" " -f2'
run out 'run volume' -v data:/data $I sh -c 'echo x >/data/x; ls /data'
run out 'run volume again' -v data:/data:ro $I sh -c 'ls /data; touch /data/y 2>&1 | sed s/.*://'
run status 'run missing source' -v /no/such/dir:/x $I true
run status 'run bad volume' -v 'a:b:c:d' $I true
run out 'run init' --init $I sh -c 'ps -o comm= 2>/dev/null | head -n1 | wc -l'
run out 'run masked paths' $I \
	sh -c 'cat /proc/kcore 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | wc -l'
run out 'run proc is read-only' $I sh -c 'echo 1 >/proc/sys/kernel/panic 2>/dev/null; echo $?'
run out 'run devices' $I sh -c 'ls /dev | grep -v -E "^(console|tty[0-9].*|core)$"'
run out 'run shm' $I sh -c 'df -k /dev/shm | tail -n1 | tr -s " " | cut -d" " -f2'
run out 'run limits of files' --read-only $I sh -c 'touch /tmp/x /run/x /var/tmp/x && echo writable'

run sorted 'run without its variables' --unsetenv-all -e A=1 \
	$I sh -c '/bin/env | cut -d= -f1 | grep -v -E "^(PWD|SHLVL|_|OLDPWD)$"'
run out 'run without a variable' --unsetenv PATH -e B=2 $I /bin/sh -c 'env | grep -E "^(A|B)="'
run out 'run with a changed variable' --env-merge 'PATH=${PATH}:/x$NONE' --env-merge NEW=y \
	$I sh -c 'echo ${PATH#*:}; echo $NEW'
RL_MATRIX=host run out 'run with the environment' --env-host -e RL_OTHER=typed $I sh -c 'echo $RL_MATRIX-$RL_OTHER'
run out 'run in a time zone' --tz Asia/Tokyo $I date +%Z
run status 'run in no time zone' --tz No/Where $I date
run out 'run without /etc/hosts' --no-hosts $I sh -c 'test -e /etc/hosts; echo $?'
run status 'run without /etc/hosts, but a line of it' --no-hosts --add-host a:127.0.0.1 $I true
run out 'run with stdout alone' -a stdout $I sh -c 'echo out; echo err >&2'
run out 'run with stderr alone' -a stderr $I sh -c 'echo out; echo err >&2'
run status 'run with a stream that there is not' -a stdlog $I true
run out 'run of 32 bits' --personality LINUX32 $I uname -m
run status 'run read-only without tmpfs' --read-only --read-only-tmpfs=false $I touch /tmp/x
run status 'run of another system' --os plan9 --pull never $I true
apart 137 255 'run until its time is over' run --rm --network none --timeout 1 $I sleep 60
exec 3<"$cache/busybox.tar"
run out 'run with a descriptor' --preserve-fds 1 $I sh -c 'test -f /proc/self/fd/3; echo $?'
exec 3<&-
run status 'run with a descriptor that there is not' --preserve-fds 1 $I true
same status 'tag for --rmi' tag $I localhost/gone:1
run status 'run and remove the image' --rmi localhost/gone:1 true
apart 1 125 'the image has gone' image inspect localhost/gone:1

same status create create --network none --name one -e A=b -l tier=web --hostname box -w /tmp $I \
	sh -c 'echo out; echo err >&2; exit 3'
same status 'create with a taken name' create --name one $I true
same status 'create of no image' create --pull never nosuch/image true
same head 'ps columns' ps -a
same out 'ps fields' ps -a --format '{{.Names}} {{.Image}} {{.Status}} {{.Ports}}'
same out 'ps quiet' ps -aq
same out 'ps filter' ps -a --filter status=created --filter label=tier=web --format '{{.Names}}'
same out 'ps nothing runs' ps --format '{{.Names}}'
same status 'start attached' start -a one
same status 'wait' wait one
same out 'wait says the status' wait one
same out 'logs' logs one
same out 'logs tail' logs --tail 1 one
same out 'ps ended' ps -a --format '{{.Names}} {{.Status}}'
same out 'ps exited' ps -a --filter exited=3 --format '{{.Names}}'
for template in '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}' \
	'{{.State.Paused}} {{.State.Restarting}} {{.State.OOMKilled}} {{.State.Dead}}' \
	'{{.Path}} {{.Args}}' '{{.Config.Cmd}}' '{{.Config.WorkingDir}}' '{{.Config.User}}' '{{.Config.Hostname}}' \
	'{{index .Config.Labels "tier"}}' '{{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.AttachStdin}}' \
	'{{.Config.Image}}' '{{.ImageName}}' \
	'{{.HostConfig.AutoRemove}} {{.HostConfig.Privileged}} {{.HostConfig.ReadonlyRootfs}}' \
	'{{.RestartCount}}' '{{len .Mounts}}' '{{.Image}}' '{{json .State.Status}}' '{{.Nope}}' \
	'{{.State.Pid}} {{.State.Error}} {{.State.ConmonPid}}' '{{.HostConfig.NetworkMode}}' \
	'{{with .State}}{{.Status}}{{end}}' '{{.HostConfig.CpuPeriod}} {{.HostConfig.CpuShares}}' \
	'{{json .Config.Cmd}} {{len .Config.Entrypoint}} {{.Config.Volumes}} {{.ExecIDs}}' '{{.Config.Umask}}' \
	'{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
	'{{.NetworkSettings.IPAddress}}|{{.NetworkSettings.MacAddress}}|{{len .NetworkSettings.Ports}}' \
	'{{range $p, $at := .NetworkSettings.Ports}}{{$p}}->{{(index $at 0).HostPort}}{{end}}' \
	'{{.HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}} {{.HostConfig.ContainerIDFile}}' \
	'{{.HostConfig.RestartPolicy.MaximumRetryCount}}' '{{index .Config.Labels "nolabel"}}' '{{.Config.StdinOnce}}' \
	'{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpusetCpus}}' \
	'{{.HostConfig.PidsLimit}} {{.HostConfig.MemorySwap}} {{.HostConfig.MemoryReservation}}' \
	'{{.HostConfig.ShmSize}} {{.HostConfig.OomScoreAdj}} {{.HostConfig.Init}}' \
	'{{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}}' \
	'{{.HostConfig.ExtraHosts}} {{.HostConfig.Dns}} {{.HostConfig.DnsSearch}} {{.HostConfig.DnsOptions}}' \
	'{{.HostConfig.Devices}} {{.HostConfig.SecurityOpt}} {{.HostConfig.GroupAdd}} {{.HostConfig.OomKillDisable}}' \
	'{{.HostConfig.Links}} {{.HostConfig.VolumesFrom}} {{.HostConfig.VolumeDriver}} {{.HostConfig.Tmpfs}}' \
	'{{.HostConfig.CgroupParent}}|{{.HostConfig.Isolation}}|{{.HostConfig.BlkioWeight}}|{{.HostConfig.UsernsMode}}' \
	'{{.Pod}} {{.IsInfra}} {{.Dependencies}} {{.Rootfs}}' '{{.MountLabel}}{{.ProcessLabel}}{{.AppArmorProfile}}'; do
	field "$template"
done
apart 1 125 'inspect nothing' inspect nosuch
apart 1 125 'logs of nothing' logs nosuch
apart 1 125 'start nothing' start nosuch
apart 1 125 'wait nothing' wait nosuch
same status 'rm nothing' rm nosuch
same status 'rm -f nothing' rm -f nosuch
apart 1 125 'stop nothing' stop nosuch
apart 1 125 'kill nothing' kill nosuch
same status 'exec nothing' exec nosuch true
apart 125 255 'exec of one that has ended' exec one true
apart 1 125 'kill of one that has ended' kill one
same status 'stop of one that has ended' stop one
same out 'stop says the name' stop one
same out 'rename' rename one other
same out 'rename back' rename other one
apart 125 0 'rename to its own name' rename one one

same status 'run detached' run -d --network none --name two -v data:/data $I \
	sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done'
for template in '{{range .Mounts}}{{.Name}}|{{.Type}}|{{.Destination}}|{{.Driver}}|{{.RW}}|{{.Mode}};{{end}}' \
	'{{range .Mounts}}{{if eq .Destination "/data"}}{{.Name}}{{end}}{{end}}' '{{.State.Status}} {{.State.Running}}' \
	'{{if gt .State.Pid 0}}{{if gt .State.ConmonPid 0}}watched{{end}}{{end}}'; do
	field "$template" two
done
same out 'container exists' container exists two
same status 'container does not exist' container exists nosuch
same status 'volume exists' volume exists data
same status 'volume does not exist' volume exists nosuch
same status 'image exists' image exists $I
same status 'image does not exist' image exists nosuch
same out 'wait for what is' wait --condition running two
same out 'wait for one of several' wait --condition exited,running two
same sorted 'logs of several' logs one two
same sorted 'logs of several by name' logs --names one two
same out 'logs of the latest' logs -l
same status 'logs of the latest and of one' logs -l one
same out 'logs in colours' logs --color two
same out 'exec in the latest' exec -l echo inside
same out 'inspect the latest' inspect -l -t container -f '{{.State.Status}}'
same out 'port of the latest' port -l
same out 'ps without its heading' ps --noheading --format 'table {{.Names}}'
same out 'ps sorted' ps -a --sort names --format '{{.Names}}'
same out 'ps of what runs' ps --format '{{.Names}} {{.Status}}'
same out 'exec' exec two echo inside
same status 'exec status' exec two sh -c 'exit 9'
same status 'exec not found' exec two no-such-command
same status 'exec not executable' exec two /etc
same out 'exec env workdir user' exec -e A=1 -w /data -u 33 two sh -c 'echo $A; pwd; id -u'
apart 125 255 'exec no such user' exec -u nobody-here two true
same status 'exec no such workdir' exec -w /no/where two true
apart 127 255 'exec in a file' exec -w /bin/busybox two true
same status 'exec bad flag' exec --no-such-flag two true
same status 'exec detached' exec -d two true
exec 3<"$dir/rl/out"
same status 'exec with a descriptor' exec --preserve-fds 1 two sh -c 'cat <&3 >/dev/null'
exec 3<&-
same out 'exec privileged' exec --privileged two sh -c 'grep -c 000001ffffffffff /proc/self/status'
same sorted 'diff' exec two sh -c 'mkdir -p /srv/d; echo x >/srv/d/f; rm /etc/passwd'
same sorted 'diff of what runs' diff two
apart 1 125 'diff nothing' diff nosuch
printf 'from here\n' | tee "$dir/rl/file" >"$dir/podman/file"
same out 'cp into' cp file two:/srv/d/
same out 'cp into, seen' exec two cat /srv/d/file
same out 'cp out' cp two:/srv/d copied
same status 'cp of nothing' cp two:/no/such copied
same status 'cp to no directory' cp file two:/no/such/dir/
apart 1 125 'cp from no container' cp nosuch:/x y
same status 'cp of a missing file' cp nothing two:/srv
same head 'top of rights' top two capbnd capinh capeff capprm capamb seccomp group groups
same head 'ps of namespaces' ps --ns
same status 'volume export' volume export -o data.tar data
same status 'volume create for an import' volume create copy
same status 'volume import' volume import copy data.tar
for who in rl podman; do
	(
		cd "$dir/$who" && seq 100000 >large && tar -cf large.tar large
		gzip -k large.tar; zstd -qk large.tar; xz -0k large.tar; bzip2 -k large.tar
		for kind in tar tar.gz tar.zst tar.xz; do head -c 20000 "large.$kind" >"cut.$kind"; done
	)
done
for kind in tar tar.gz tar.zst tar.xz; do
	same status "volume import of $kind" volume import copy "large.$kind"
	stdin=large.$kind same status "cp of $kind" cp - two:/srv
	same out "cp of $kind, seen" exec two sh -c 'wc -l </srv/large; rm /srv/large'
	same status "volume import of half a $kind" volume import copy "cut.$kind"
	stdin=cut.$kind same status "cp of half a $kind" cp - two:/srv
	# podman leaves the half of the file.
	same status "after half a $kind" exec two rm -f /srv/large
done
same status 'volume import of no archive' volume import copy large
stdin=large same status 'cp of no archive' cp - two:/srv
same status 'cp of nothing on stdin' cp - two:/srv
apart 125 0 'volume import of nothing' volume import copy /dev/null
apart 125 0 'volume import of bzip2' volume import copy large.tar.bz2
stdin=large.tar.bz2 apart 125 0 'cp of bzip2' cp - two:/srv
same status 'after bzip2' exec two rm -f /srv/large
run out 'what was imported' -v copy:/data $I sh -c 'cat /data/x'
same out 'volume mount' volume inspect -f '{{.Driver}} {{.Options}}' copy
same sorted 'volumes by label' volume ls -q --filter label=none
same out 'volumes by name' volume ls -q --filter name=copy
same out 'inspect of a volume' inspect --type volume -f '{{.Name}}' copy
same status 'volume create of a bad option' volume create -o bogus=1
same status 'volume create with options' volume create -o type=none -o device="$dir" -o o=bind bound
same out 'its options' volume inspect -f '{{.Options.device}} {{.Options.o}}' bound
run out 'a directory as a volume' -v bound:/data $I sh -c 'test -d /data && echo there'
same status 'volume rm with options' volume rm bound
apart 1 2 'rm of what runs' rm two
same status 'start of what runs' start two
same out 'stop' stop -t 5 two
same out 'the stop signal was heard' inspect -f '{{.State.ExitCode}} {{.State.Status}}' two
same out 'cp into what does not run' cp file two:/srv/later
same out 'cp out of what does not run' cp two:/srv/later back
same sorted 'diff of what does not run' diff two
same status 'export' export -o two.tar two
apart 1 125 'export nothing' export nosuch
same status 'commit' commit -q -a me -c 'CMD ["cat", "/srv/d/f"]' -c 'LABEL x=y' two localhost/made:1
run out 'run of a commit' localhost/made:1
for template in '{{.Config.Cmd}}' '{{.Config.Labels}}' '{{.Author}}' '{{len .RootFS.Layers}}'; do
	same out "commit $template" image inspect -f "$template" localhost/made:1
done
apart 1 125 'commit nothing' commit nosuch x
same out 'restart' restart -t 5 two
same out 'kill' kill two
same out 'kill, its status' wait two
same status 'kill with a bad signal' kill -s NOPE two
apart 1 1 'several, each with its result' rm one nosuch two
ask podman rm one two
same out 'nothing is left' ps -aq
same status 'create in the place of none' create --replace --name again --network none $I true
same status 'create with an annotation' create --replace --name again --network none --annotation a=b --timeout 9 \
	$I true
field '{{.Config.Annotations.a}} {{.Config.Timeout}}' again
same status 'create in its place' create --replace --name again --network none $I true
same status 'replace without a name' create --replace $I true
same out 'one is left' ps -a --format '{{.Names}} {{.Status}}'
same out 'volume create' volume create --label a=b named
same head 'volume ls' volume ls
same sorted 'volume ls quiet' volume ls -q
same out 'volume inspect' volume inspect -f '{{.Name}} {{.Driver}} {{.Labels}} {{.Scope}}' named
apart 0 125 'volume create again' volume create named
same status 'volume rm nothing' volume rm nosuch
same out 'volume rm' volume rm named
apart 1 125 'volume inspect nothing' volume inspect nosuch
same status 'container prune' container prune -f
same status 'no such verb' nosuchverb
echo "$count checks, $failed failed"
exit $((failed > 250 ? 250 : failed))

#!/bin/sh
# make-busybox.sh FILE: a root file system around the distribution's static busybox, as a tar in which all belongs to
# root. Needs no root to make.
set -eu
busybox=${BUSYBOX:-$(command -v busybox)}
# Of one for another machine, somebody else's applets must do.
list=${BUSYBOX_LIST:-$busybox}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
mkdir bin dev etc home proc root run sys tmp usr var
chmod 755 .
chmod 700 root
chmod 1777 tmp
cp "$busybox" bin/busybox
chmod 755 bin/busybox
"$list" --list | while read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
cat >etc/passwd <<-'END'
	root:x:0:0:root:/root:/bin/sh
	nobody:x:65534:65534:nobody:/:/bin/false
END
cat >etc/group <<-'END'
	root:x:0:
	tty:x:5:
	nogroup:x:65534:
END
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$1" .

//! Programs of other architectures on a kernel that has one table of handlers for the whole machine (Debian 12's 6.1).

mod as_root {
    use crate::inside;
    use crate::support::{Line, Output};
    use std::process::Command;

    fn sh(script: &str) -> Output {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Line::new(command, script.to_owned()).output()
    }

    /// As the user, from a login of theirs.
    fn uname() -> Output {
        sh("ssh user@localhost 'mkdir -p foreign && tar -C foreign --no-same-owner -xf /payload/busybox-arm64.tar && \
            /payload/rl run --rm --platform linux/arm64 --rootfs foreign:O uname -m'")
    }

    /// The administrator's part, with these flags.
    fn register(flags: &str) {
        let magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
        let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
        let line = format!(":qemu-aarch64:M::{magic}:{mask}:/usr/bin/qemu-aarch64-static:{flags}");
        sh(&format!("printf %s '{line}' >/proc/sys/fs/binfmt_misc/register")).success();
    }

    #[test]
    fn an_older_kernel_needs_the_machines_handler_and_works_with_it() {
        if !inside() {
            return;
        }
        sh("cp /payload/qemu-aarch64-static /usr/bin/ && chmod 755 /usr/bin/qemu-aarch64-static").success();
        let refused = uname().fails_with(126);
        for words in ["RL0532", "for arm64", "amd64", "Linux 6.1", "apt-get install qemu-user-static"] {
            assert!(refused.stderr.contains(words), "{words:?} is not in: {}", refused.stderr);
        }
        sh("modprobe binfmt_misc && mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc").success();
        for flags in ["F", ""] {
            register(flags);
            let out = uname().success();
            assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("aarch64\n", ""), "flags {flags:?}");
            sh("echo -1 >/proc/sys/fs/binfmt_misc/qemu-aarch64").success();
        }
        sh("umount /proc/sys/fs/binfmt_misc").success();
    }
}

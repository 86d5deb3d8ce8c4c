//! What a container has of others: volumes of other containers, and images mounted in it.

use crate::support::{Rl, archive};

/// A store of the test's own, with a second image.
fn with_tools() -> Rl {
    let rl = Rl::empty();
    let archive = archive("busybox.tar").to_string_lossy().into_owned();
    rl.run(&["import", "-q", &archive, "busybox"]).success();
    rl.run(&[
        "run",
        "--name",
        "make",
        "busybox",
        "sh",
        "-c",
        "mkdir -p /opt/a; echo tool >/opt/a/tool; ln -s /etc /opt/out",
    ])
    .success();
    rl.run(&["commit", "-q", "make", "tools"]).success();
    rl.run(&["rm", "make"]).success();
    rl
}

const IMAGE: &str = "--mount=type=image,src=tools,dst=/tools";

mod everywhere {
    use super::{IMAGE, with_tools};
    use crate::support::Rl;
    use crate::{Clean, background, eventually, inspect};

    #[test]
    fn an_image_is_a_volume_that_nobody_writes_to() {
        let rl = with_tools();
        let _clean = Clean(&rl);
        let run = |words: &[&str]| rl.run(&[&["run", "--rm"], words].concat());
        let out =
            run(&[IMAGE, "busybox", "sh", "-c", "cat /tools/opt/a/tool; touch /tools/x 2>/dev/null || echo refused"]);
        assert_eq!(out.success().stdout, "tool\nrefused\n");
        let part = "--mount=type=image,source=tools,target=/part,image-subpath=/opt/a";
        assert_eq!(run(&[part, "busybox", "ls", "/part"]).success().stdout, "tool\n");
        // A link of the image leads nowhere but into the image.
        let link = "--mount=type=image,src=tools,dst=/part,subpath=/opt/out";
        assert_eq!(run(&[link, "busybox", "ls", "/part"]).success().stdout, "group\npasswd\n");
        run(&["--mount=type=image,src=tools,dst=/x,subpath=/no/such", "busybox", "true"]).fails_with(125);
        run(&["--mount=type=image,src=tools,dst=/x,rw=true", "busybox", "true"]).fails_with(125);
        run(&["--pull=never", "--mount=type=image,src=nosuch,dst=/x", "busybox", "true"]).fails_with(125);
        assert!(rl.run(&["run", "--plan=json", IMAGE, "busybox", "true"]).success().stdout.contains("\"/tools\""));
    }

    #[test]
    fn kernels_that_take_layers_on_one_page_only_show_images_as_volumes_too() {
        let rl = with_tools();
        let part = "--mount=type=image,src=tools,dst=/part,subpath=/opt/a";
        // The holder first: strace would wait for it, and newuidmap has no rights under ptrace.
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        // What a kernel before 6.5 answers to the first layer: it does not know `lowerdir+`.
        let strace = "strace -f -qq -o /dev/null -e trace=fsconfig -e inject=fsconfig:error=EINVAL:when=2";
        let script = "cat /tools/opt/a/tool /part/tool; touch /tools/x 2>/dev/null || echo refused";
        let out =
            rl.shell(&format!("{strace} {} run --rm {IMAGE} {part} busybox sh -c '{script}'", rl.binary().display()));
        assert_eq!(out.success().stdout, "tool\ntool\nrefused\n");
    }

    #[test]
    fn an_image_that_is_a_volume_is_not_removed_and_is_there_after_a_restart() {
        let rl = with_tools();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", IMAGE, "busybox", "sh", "-c", "cat /tools/opt/a/tool; exec sleep 1000"]);
        eventually("it has looked", || rl.run(&["logs", "c"]).stdout == "tool\n");
        assert!(rl.run(&["rmi", "tools"]).fails_with(1).stderr.contains("RL0308"));
        rl.run(&["restart", "-t", "0", "c"]).success();
        eventually("it has looked again", || rl.run(&["logs", "c"]).stdout == "tool\ntool\n");
        rl.run(&["stop", "-t", "0", "c"]).success();
        rl.run(&["rmi", "tools"]).fails_with(1);
        // What the name means is another image now; the container keeps its own.
        rl.run(&["tag", "busybox", "tools"]).success();
        rl.run(&["start", "c"]).success();
        assert_eq!(rl.run(&["exec", "c", "cat", "/tools/opt/a/tool"]).success().stdout, "tool\n");
        assert_eq!(
            rl.run(&["run", "--rm", "--volumes-from", "c", "busybox", "cat", "/tools/opt/a/tool"]).success().stdout,
            "tool\n"
        );
        rl.run(&["rm", "-f", "-t", "0", "c"]).success();
        rl.run(&["image", "prune", "-f"]).success();
        assert!(rl.run(&["system", "check"]).success().stdout.contains("clean"));
    }

    #[test]
    fn the_volumes_of_another_container_are_shared() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let bound = rl.dir("bound");
        let bind = format!("{}:/bound", bound.display());
        let script = "echo x >/data/x; echo y >/anon/y; echo ready; sleep 1000";
        background(
            &rl,
            &["--name", "one", "-v", "data:/data", "-v", "/anon", "-v", &bind, "busybox", "sh", "-c", script],
        );
        eventually("it is ready", || rl.run(&["logs", "one"]).stdout.contains("ready"));
        let from = |options: &str, words: &[&str]| {
            let from = format!("one{options}");
            rl.run(&[&["run", "--rm", "--volumes-from", &from], words].concat())
        };
        let out = from("", &["busybox", "sh", "-c", "cat /data/x /anon/y; touch /anon/z /bound/b"]);
        assert_eq!(out.success().stdout, "x\ny\n");
        assert!(bound.join("b").exists());
        // It was not this container's own: it stays.
        assert_eq!(rl.run(&["exec", "one", "ls", "/anon"]).success().stdout, "y\nz\n");
        from(":ro", &["busybox", "touch", "/data/z"]).fails_with(1);
        // What is named here goes before.
        let out = from("", &["--tmpfs", "/data", "busybox", "ls", "/data"]);
        assert_eq!(out.success().stdout, "");
        rl.run(&["run", "--name", "two", "--volumes-from", "one", "busybox", "true"]).success();
        assert_eq!(inspect(&rl, "two", "{{len .Mounts}}"), "3");
        rl.run(&["rm", "-v", "two"]).success();
        assert_eq!(rl.run(&["exec", "one", "ls", "/anon"]).success().stdout, "y\nz\n");
        rl.run(&["run", "--rm", "--volumes-from", "nosuch", "busybox", "true"]).fails_with(125);
        rl.run(&["run", "--rm", "--volumes-from", "one:bogus", "busybox", "true"]).fails_with(125);
    }
}

/// Where there are subordinate ids, which a container may see as other ones. Needs fuse-overlayfs and /dev/fuse.
mod full_map {
    use super::{IMAGE, with_tools};
    use crate::{Clean, background, entries, eventually};

    /// Files of another user than root.
    fn with_owners() -> crate::support::Rl {
        let rl = with_tools();
        let script = "chown 33:44 /opt/a/tool; ln -s tool /opt/a/link";
        rl.run(&["run", "--name", "own", "tools", "sh", "-c", script]).success();
        rl.run(&["commit", "-q", "own", "tools"]).success();
        rl.run(&["rm", "own"]).success();
        rl
    }

    #[test]
    fn an_image_has_its_own_owners_whatever_ids_the_container_has() {
        let rl = with_owners();
        let _clean = Clean(&rl);
        let script = "stat -c %u:%g /tools/opt/a/tool /tools/opt /tools/opt/a/link; cat /tools/opt/a/link; \
                      touch /tools/x 2>/dev/null || echo refused";
        for map in [
            &["--userns=keep-id", "-u", "0"][..],
            &["--userns=auto"],
            &["--userns=nomap"],
            &["--uidmap=0:1:2000", "--gidmap=0:1:2000"],
        ] {
            let words = [&["run", "--rm", "--network", "none"], map, &[IMAGE, "busybox", "sh", "-c", script]].concat();
            assert_eq!(rl.run(&words).success().stdout, "33:44\n0:0\n0:0\ntool\nrefused\n", "{map:?}");
        }
        // Two of them, and a part of one: each is a mount of its own.
        let part = "--mount=type=image,src=tools,dst=/part,subpath=/opt/a";
        let words =
            ["run", "--rm", "--network", "none", "--userns=auto", IMAGE, part, "busybox", "ls", "-ln", "/part/tool"];
        let out = rl.run(&words).success().stdout;
        assert!(out.contains(" 33 ") && out.contains(" 44 "), "{out}");
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
    }

    #[test]
    fn it_is_mounted_as_long_as_the_container_lives_and_again_when_it_starts_again() {
        let rl = with_owners();
        let _clean = Clean(&rl);
        let script = "stat -c %u /tools/opt/a/tool; exec sleep 1000";
        background(&rl, &["--name", "c", "--network", "none", "--userns=auto", IMAGE, "busybox", "sh", "-c", script]);
        eventually("it has looked", || rl.run(&["logs", "c"]).stdout == "33\n");
        assert_eq!(rl.run(&["exec", "c", "cat", "/tools/opt/a/tool"]).success().stdout, "tool\n");
        assert!(rl.run(&["rmi", "tools"]).fails_with(1).stderr.contains("RL0308"));
        rl.run(&["restart", "-t", "0", "c"]).success();
        eventually("it has looked again", || rl.run(&["logs", "c"]).stdout == "33\n33\n");
        rl.run(&["rm", "-f", "-t", "0", "c"]).success();
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
        // Started again by its policy, in the supervisor's own mount namespace, in which its mount was before.
        background(
            &rl,
            &[
                "--name",
                "d",
                "--network",
                "none",
                "--userns=auto",
                "--restart",
                "on-failure:2",
                IMAGE,
                "busybox",
                "sh",
                "-c",
                "stat -c %u /tools/opt/a/tool; exit 1",
            ],
        );
        eventually("it has been started three times", || rl.run(&["logs", "d"]).stdout == "33\n33\n33\n");
    }
}

//! What a container has of others: volumes of other containers, and images mounted in it.

mod everywhere {
    use crate::support::{Rl, archive};
    use crate::{Clean, background, eventually, inspect};

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

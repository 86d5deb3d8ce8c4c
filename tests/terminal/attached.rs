//! A terminal at a container in the background: coming, going, and what is as it was afterwards.

mod everywhere {
    use crate::support::Rl;
    use crate::tmux::Terminal;

    /// The words of `rl` with this home.
    fn rl_words(rl: &Rl) -> String {
        format!("{} --root {} --runroot {}", rl.binary().display(), rl.root().display(), rl.runroot().display())
    }

    /// A shell that edits no lines: busybox's interactive one asks the terminal where its cursor is, and the answer came
    /// as typed keys between a test's own, two times in a hundred.
    const SHELL: &str = r#"while printf "inner> " && read -r line; do eval "$line"; done"#;

    fn shell_in_the_background(rl: &Rl) {
        rl.run(&["run", "-dit", "--name", "c", "busybox", "sh", "-c", SHELL]).success();
    }

    struct Clean<'a>(&'a Rl);

    impl Drop for Clean<'_> {
        fn drop(&mut self) {
            let _ = self.0.run(&["rm", "-af", "-t", "0"]);
        }
    }

    #[test]
    fn an_exec_is_left_by_the_keys_and_goes_on_with_its_terminal() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        shell_in_the_background(&rl);
        let mut terminal = Terminal::start();
        let before = terminal.modes();
        let again = "while test ! -e /go; do sleep 0.1; done; tty >/left; stty size >>/left";
        terminal.line(&format!("{} exec -it c sh -c 'echo rea\"\"dy; {again}'; echo le''ft=$?", rl_words(&rl)));
        terminal.wait_for("ready");
        terminal.keys(&["C-p", "C-q"]);
        terminal.wait_for("left=0");
        assert_eq!(terminal.modes(), before);
        rl.run(&["exec", "c", "touch", "/go"]).success();
        let wait = "while ! grep -q 200 /left 2>/dev/null; do sleep 0.1; done; grep -c /dev/ /left";
        assert_eq!(rl.run(&["exec", "c", "sh", "-c", wait]).success().stdout, "1\n");
        // Without keys they are typed.
        terminal.line(&format!("{} exec -it --detach-keys= c sh -c 'stty raw -echo; echo rea\"\"dy; dd bs=1 count=2 2>/dev/null | od -An -t x1'", rl_words(&rl)));
        terminal.wait_for("ready");
        terminal.keys(&["C-p", "C-q"]);
        terminal.wait_for("10 11");
    }

    #[test]
    fn the_keys_leave_the_container_running_and_the_terminal_as_it_was() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        shell_in_the_background(&rl);
        let mut terminal = Terminal::start();
        let before = terminal.modes();
        terminal.line(&format!("{} attach c", rl_words(&rl)));
        // What it has printed before nobody heard; a line brings the prompt.
        terminal.keys(&["Enter"]);
        terminal.wait_for("inner> ");
        terminal.line("x=kept; stty si''ze; echo at=$(tty)");
        terminal.wait_for("24 200");
        terminal.wait_for("at=/dev/");
        terminal.resize(100, 30);
        terminal.line("sleep 0.3; stty si''ze");
        terminal.wait_for("30 100");
        terminal.keys(&["C-p", "C-q"]);
        terminal.wait_for("outer> ");
        assert_eq!(terminal.modes(), before);
        let out = rl.run(&["inspect", "-f", "{{.State.Status}}", "c"]).success();
        assert_eq!(out.stdout, "running\n");
        terminal.line(&format!("{} attach --detach-keys ctrl-a,d c", rl_words(&rl)));
        terminal.line("echo x=$x''=");
        terminal.wait_for("x=kept=");
        // Half of the keys, and then something else, is typed.
        terminal.keys(&["C-a"]);
        terminal.type_text("d");
        terminal.wait_for("outer> ");
        terminal.line(&format!("{} attach c; echo en''ded=$?", rl_words(&rl)));
        terminal.line("exit 5");
        terminal.wait_for("ended=5");
        assert_eq!(terminal.modes(), before);
    }

    #[test]
    fn closing_the_terminal_ends_the_client_and_not_the_container() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        shell_in_the_background(&rl);
        let mut terminal = Terminal::start();
        terminal.line(&format!("{} attach c", rl_words(&rl)));
        terminal.keys(&["Enter"]);
        terminal.wait_for("inner> ");
        terminal.close();
        // A second terminal finds the same shell.
        let mut other = Terminal::start();
        other.line(&format!("{} attach c", rl_words(&rl)));
        other.line("echo st''ill");
        other.wait_for("still");
        other.keys(&["C-p", "C-q"]);
        other.wait_for("outer> ");
    }
}

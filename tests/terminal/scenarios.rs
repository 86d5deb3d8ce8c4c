//! What must hold for a container with a terminal, and for the terminal around it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Program;
use crate::processes::{Watched, child, children};
use crate::tmux::Terminal;

/// Declares each scenario as a test.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod everywhere {
            $(#[test] fn $name() { super::$name(&crate::Program::start()); })*
        }
    };
}

scenarios! {
    a_shell_has_line_editing_job_control_and_a_terminal,
    the_size_is_the_callers_and_follows_it,
    the_command_finds_the_callers_erase_key_and_keeps_what_it_sets_at_once,
    the_terminal_is_sane_after_rl_is_killed,
    the_terminal_is_sane_after_the_containers_init_is_killed,
    sigterm_is_forwarded_and_the_terminal_is_sane_after_it,
    the_callers_descriptors_stay_blocking,
    started_in_the_background_it_stops_and_comes_back_with_fg,
    killed_in_the_background_it_ends,
    without_a_terminal_of_its_own_ctrl_z_stops_and_fg_continues_it,
    big_output_is_passed_on_whole,
    output_that_nobody_has_read_yet_survives_the_end_of_the_container,
    the_end_of_piped_input_is_the_end_of_the_terminals_input,
    a_reader_that_goes_away_hangs_the_terminal_up,
    init_reaps_orphans_and_gives_the_commands_status,
    init_forwards_signals,
    the_callers_terminal_being_closed_ends_a_shell,
    the_callers_terminal_being_closed_ends_what_ignores_it_too,
}

fn a_shell_has_line_editing_job_control_and_a_terminal(program: &Program) {
    let mut terminal = Terminal::start();
    terminal.line(&program.line("-it", "sh"));
    terminal.wait_for("inner> ");
    terminal.line("echo na''me=$(tty)");
    terminal.wait_for("name=/dev/");

    terminal.wait_for("inner> ");
    terminal.type_text("echo le''fx");
    terminal.keys(&["BSpace"]);
    terminal.line("t");
    terminal.wait_for("left");

    terminal.wait_for("inner> ");
    terminal.line("sh -c 'echo r''un; exec cat'");
    terminal.wait_for("run");
    terminal.keys(&["C-c"]);
    terminal.wait_for("inner> ");
    terminal.line("echo int=$?.");
    terminal.wait_for("int=130.");

    terminal.wait_for("inner> ");
    terminal.line("sh -c 'echo r''un; exec cat'");
    terminal.wait_for("run");
    terminal.keys(&["C-z"]);
    terminal.wait_for("Stopped");
    terminal.wait_for("inner> ");
    terminal.line("fg");
    terminal.wait_for("cat");
    terminal.line("typed");
    terminal.wait_for("typed\r\ntyped");
    terminal.keys(&["C-d"]);
    terminal.wait_for("inner> ");
    terminal.line("exit 7");
    terminal.wait_for("outer> ");
    terminal.line("echo st=$?.");
    terminal.wait_for("st=7.");
    let transcript = terminal.transcript();
    assert!(!transcript.contains("can't access tty"), "{transcript}");
    assert!(!transcript.contains("job control turned off"), "{transcript}");
}

fn the_size_is_the_callers_and_follows_it(program: &Program) {
    let mut terminal = Terminal::start();
    let script = r#"'trap "stty size" WINCH; stty size; while :; do sleep 1 & wait; done'"#;
    terminal.line(&program.line("-it", &format!("sh -c {script}")));
    terminal.wait_for("24 200\r\n");
    terminal.resize(90, 30);
    terminal.wait_for("30 90\r\n");
}

/// Of the caller's keyboard the parent once told the terminal beside the command, whose first `stty` was undone now and then.
fn the_command_finds_the_callers_erase_key_and_keeps_what_it_sets_at_once(program: &Program) {
    let mut terminal = Terminal::start();
    for (erase, utf8) in [("^H", "-iutf8"), ("^X", "iutf8")] {
        let script = "stty -a; stty erase ^B -icanon; sleep 0.2; stty -a";
        let filter = "grep -ow -e 'erase = [^;]*' -e '-*iutf8' -e '-*icanon' | xargs echo";
        let run = program.line("-it", &format!("sh -c '{script}'"));
        terminal.line(&format!("stty erase '{erase}' {utf8}; {run} | {filter}; echo en''ded"));
        terminal.wait_for("ended");
        let found = format!("erase = {erase} {utf8} icanon erase = ^B {utf8} -icanon");
        assert!(terminal.transcript().contains(&found), "{found}: {}", terminal.transcript());
    }
}

/// A shell inside and the modes from before it.
fn inside(program: &Program) -> (Terminal, String) {
    let mut terminal = Terminal::start();
    let before = terminal.modes();
    terminal.line(&program.line("-it", "sh"));
    terminal.wait_for("inner> ");
    (terminal, before)
}

fn the_terminal_is_sane_after_rl_is_killed(program: &Program) {
    let (mut terminal, before) = inside(program);
    let rl = child(terminal.shell(), "");
    let guard = Watched::open(child(rl, "rl-terminal"));
    kill(rl, Signal::SIGKILL).expect("kill");
    guard.wait_for_end();
    terminal.wait_for("outer> ");
    assert_eq!(terminal.modes(), before);
}

fn the_terminal_is_sane_after_the_containers_init_is_killed(program: &Program) {
    let (mut terminal, before) = inside(program);
    let rl = child(terminal.shell(), "");
    let guard = Watched::open(child(rl, "rl-terminal"));
    kill(inner_shell(rl), Signal::SIGKILL).expect("kill");
    terminal.wait_for("outer> ");
    // The guard was reaped before rl ended.
    guard.wait_for_end();
    terminal.line("echo st=$?.");
    terminal.wait_for("st=137.");
    assert_eq!(terminal.modes(), before);
}

fn inner_shell(rl: Pid) -> Pid {
    // The kernel names a process after the file that was executed: busybox itself, or a link of the applet's name.
    let all = children(rl);
    let shell = all.iter().find(|(_, name)| name == "sh" || name == "busybox");
    shell.unwrap_or_else(|| panic!("no shell below {rl}: {all:?}")).0
}

fn sigterm_is_forwarded_and_the_terminal_is_sane_after_it(program: &Program) {
    let mut terminal = Terminal::start();
    let before = terminal.modes();
    let script = r#"'trap "exit 5" TERM; echo rea""dy; while :; do sleep 1 & wait; done'"#;
    terminal.line(&program.line("-it", &format!("sh -c {script}")));
    terminal.wait_for("ready");
    kill(child(terminal.shell(), ""), Signal::SIGTERM).expect("kill");
    terminal.wait_for("outer> ");
    terminal.line("echo st=$?.");
    terminal.wait_for("st=5.");
    assert_eq!(terminal.modes(), before);
}

fn the_callers_descriptors_stay_blocking(program: &Program) {
    let (terminal, _) = inside(program);
    for fd in 0..3 {
        let path = format!("/proc/{}/fdinfo/{fd}", terminal.shell());
        let info = std::fs::read_to_string(&path).expect("fdinfo");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
        let flags = i32::from_str_radix(flags, 8).expect("octal");
        assert_eq!(flags & libc::O_NONBLOCK, 0, "descriptor {fd}: {flags:o}");
    }
}

fn started_in_the_background_it_stops_and_comes_back_with_fg(program: &Program) {
    let mut terminal = Terminal::start();
    let before = terminal.modes();
    // A plain wait returns when no job is running any more, so when this one has stopped.
    terminal.line(&format!("{} & wait; echo sto''pped; jobs", program.line("-it", "sh")));
    terminal.wait_for("stopped");
    terminal.wait_for("Stopped");
    assert_eq!(terminal.modes(), before);
    terminal.line("fg");
    terminal.wait_for("inner> ");
    terminal.line("exit 12");
    terminal.wait_for("outer> ");
    terminal.line("echo st=$?.");
    terminal.wait_for("st=12.");
    assert_eq!(terminal.modes(), before);
}

fn killed_in_the_background_it_ends(program: &Program) {
    let mut terminal = Terminal::start();
    // With --init, because cat as pid 1 would ignore the signal.
    terminal.line(&format!("{} & wait; echo sto''pped", program.line("-it --init", "cat")));
    terminal.wait_for("stopped");
    let rl = child(terminal.shell(), "");
    let ended = Watched::open(rl);
    // As `kill %1` does it in most shells: a stopped process sees the first signal with the second.
    kill(rl, Signal::SIGTERM).expect("kill");
    kill(rl, Signal::SIGCONT).expect("kill");
    ended.wait_for_end();
    terminal.line("wait %1; echo st=$?.");
    terminal.wait_for("st=143.");
}

fn without_a_terminal_of_its_own_ctrl_z_stops_and_fg_continues_it(program: &Program) {
    let mut terminal = Terminal::start();
    let script = r#"'trap "echo con""tinued; exit 3" CONT; echo rea""dy; while :; do sleep 1 & wait; done'"#;
    terminal.line(&program.line("", &format!("sh -c {script}")));
    terminal.wait_for("ready");
    terminal.keys(&["C-z"]);
    terminal.wait_for("Stopped");
    terminal.wait_for("outer> ");
    terminal.line("fg");
    terminal.wait_for("continued");
    terminal.wait_for("outer> ");
    terminal.line("echo st=$?.");
    terminal.wait_for("st=3.");
}

fn big_output_is_passed_on_whole(program: &Program) {
    let output = program.command("-t", "seq 1 200000").stdin(Stdio::null()).output().expect("run");
    assert!(output.status.success(), "{output:?}");
    let expected: String = (1..=200_000).map(|number| format!("{number}\r\n")).collect();
    assert!(output.stdout == expected.as_bytes(), "{} bytes of {}", output.stdout.len(), expected.len());
}

fn output_that_nobody_has_read_yet_survives_the_end_of_the_container(program: &Program) {
    // 9 kB, of which the pipe takes a page and rl another: the rest waits in the container's terminal.
    let (from, to) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("pipe");
    fcntl(&to, FcntlArg::F_SETPIPE_SZ(4096)).expect("size");
    // The Command holds the pipe's other end until it is dropped, at the end of this statement.
    let mut run = program.command("-t", "seq 1 1600").stdin(Stdio::null()).stdout(to).spawn().expect("run");
    let mut output = vec![0; 3];
    let mut from = File::from(from);
    from.read_exact(&mut output).expect("read");
    // It may have ended already; else its end is waited for before anything more is read.
    for (pid, _) in children(Pid::from_raw(i32::try_from(run.id()).expect("pid"))) {
        if let Ok(child) = Watched::try_open(pid) {
            child.wait_for_end();
        }
    }
    from.read_to_end(&mut output).expect("read");
    assert!(run.wait().expect("wait").success());
    let expected: String = (1..=1600).map(|number| format!("{number}\r\n")).collect();
    assert!(output == expected.as_bytes(), "{} bytes of {}", output.len(), expected.len());
}

fn the_end_of_piped_input_is_the_end_of_the_terminals_input(program: &Program) {
    // With and without a newline at the end: cat sees the end only between lines.
    for text in ["whole\n", "part"] {
        let mut run = program.command("-it", "cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run");
        run.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
        let output = run.wait_with_output().expect("wait");
        assert!(output.status.success(), "{output:?}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(shown.matches(text.trim()).count(), 2, "the echo and the copy: {shown:?}");
    }
}

fn a_reader_that_goes_away_hangs_the_terminal_up(program: &Program) {
    let mut run = program.command("-t", "sh -c 'trap \"exit 9\" HUP; while :; do echo y; done'");
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("run");
    let mut stdout = run.stdout.take().expect("stdout");
    stdout.read_exact(&mut [0; 3]).expect("read");
    drop(stdout);
    assert_eq!(run.wait().expect("wait").code(), Some(9));
}

fn init_reaps_orphans_and_gives_the_commands_status(program: &Program) {
    // Ten orphans; when all of them have been reaped the shell is the reaper's only child.
    let script = r#"
        for n in 1 2 3 4 5 6 7 8 9 10; do (true &); done
        for try in $(seq 1000); do
            set -- $(cat /proc/$PPID/task/$PPID/children)
            if [ $# = 1 ]; then break; fi
            sleep 0.01
        done
        echo children=$#.
        exit 11"#;
    let output = program.command("--init", &format!("sh -c '{script}'")).stdin(Stdio::null()).output().expect("run");
    assert_eq!(output.status.code(), Some(11), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "children=1.\n");
}

fn init_forwards_signals(program: &Program) {
    let script = "trap \"exit 6\" USR1; echo ready; while :; do sleep 1 & wait; done";
    let mut run = program.command("--init", &format!("sh -c '{script}'"));
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("run");
    run.stdout.take().expect("stdout").read_exact(&mut [0; 6]).expect("read");
    let pid = Pid::from_raw(i32::try_from(run.id()).expect("pid"));
    kill(pid, Signal::SIGUSR1).expect("kill");
    assert_eq!(run.wait().expect("wait").code(), Some(6));
}

fn the_callers_terminal_being_closed_ends_a_shell(program: &Program) {
    let (terminal, _) = inside(program);
    let rl = child(terminal.shell(), "");
    let (rl, guard) = (Watched::open(rl), Watched::open(child(rl, "rl-terminal")));
    terminal.close();
    rl.wait_for_end();
    guard.wait_for_end();
}

/// Regression: such containers went on for ever, without a terminal and without anybody who could end them.
fn the_callers_terminal_being_closed_ends_what_ignores_it_too(program: &Program) {
    let mut terminal = Terminal::start();
    let script = r#"'trap "" HUP; echo go''on; while :; do sleep 1 & wait; done'"#;
    terminal.line(&program.line("-it", &format!("sh -c {script}")));
    terminal.wait_for("goon");
    let rl = Watched::open(child(terminal.shell(), ""));
    terminal.close();
    rl.wait_for_end();
}

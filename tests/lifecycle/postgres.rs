//! A real database: tests/bench/postgres.sh, which runs it for ten minutes, in its short form.

mod as_user {
    use std::net::TcpListener;
    use std::process::Command;

    use crate::Clean;
    use crate::support::{Rl, binary, missing, top};

    #[test]
    fn a_database_of_debian_loses_no_acknowledged_transaction_when_it_is_stopped_and_when_it_is_killed() {
        if Command::new("pgbench").arg("--version").output().is_err() && !missing("pgbench (postgresql-contrib)") {
            return;
        }
        let rl = Rl::with_images(&["postgres.tar.gz"]);
        let _clean = Clean(&rl);
        // One that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let words =
            format!("{} --root {} --runroot {}", binary().display(), rl.root().display(), rl.runroot().display());
        let out = Command::new("sh")
            .arg(top().join("tests/bench/postgres.sh"))
            .arg("2")
            .env("RL", words)
            .env("RL_PORT", port.to_string())
            .output()
            .expect("sh");
        let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{text}");
        assert_eq!(text.matches("none lost").count(), 3, "{text}");
    }
}

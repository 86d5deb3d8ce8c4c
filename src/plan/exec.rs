//! The plan of an exec: the container's own steps again, as far as they concern a process.
//!
//! Owns [`Template`], which a container leaves for later, and what the words of `rl exec` change in it. Pure. The surprise: nothing
//! is derived from the command line of `rl run` a second time. What follows the root file system in the run's plan is the
//! exec's plan, so whatever confines the container's first process confines every later one.

use serde::{Deserialize, Serialize};

use super::{CapabilitySets, HostPlan, IdPlan, Namespaces, Plan, Process, Step};
use crate::spec::{Ulimit, capabilities};

/// What a running container keeps for execs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// Whether setgroups works.
    pub setgroups: bool,
    /// Whether the kernel ends all its processes with the first one.
    pub own_pids: bool,
    /// The limits of whoever started the container; its own are among the steps.
    pub limits: Vec<Ulimit>,
    /// The steps that make a process of this container, in their order.
    pub steps: Vec<Step>,
    /// The container's own process.
    pub process: Process,
}

/// What `rl exec` was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// argv; never empty.
    pub args: Vec<String>,
    /// `-e`, `--env-file`, in order.
    pub env: Vec<(String, String)>,
    /// `-w`.
    pub workdir: Option<String>,
    /// `-u`.
    pub user: Option<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// `-t`.
    pub tty: bool,
    /// `-i`.
    pub interactive: bool,
    /// `--preserve-fds`: descriptors from 3 on that it has of the caller's.
    pub preserve_fds: u32,
}

impl Template {
    /// Of a container that is being started by somebody with these limits.
    pub fn of(plan: &Plan, limits: Vec<Ulimit>) -> Self {
        Self {
            id: plan.id.clone(),
            name: plan.name.clone(),
            setgroups: plan.ids.setgroups,
            own_pids: !plan.namespaces.pid.is_host(),
            limits,
            steps: plan.steps.iter().filter(|step| makes_a_process(step)).cloned().collect(),
            process: plan.process.clone(),
        }
    }
}

/// Everything but what makes the namespaces and the file system that an exec joins.
fn makes_a_process(step: &Step) -> bool {
    match step {
        Step::Rlimit(_)
        | Step::Umask { .. }
        | Step::User { .. }
        | Step::Ids { .. }
        | Step::WorkingDirectory { .. }
        | Step::Keyring
        | Step::Scheduling(_)
        | Step::Personality { .. }
        | Step::Label { .. }
        | Step::Capabilities(_)
        | Step::NoNewPrivileges
        | Step::Seccomp { .. } => true,
        Step::Isolate { .. }
        | Step::Overlay { .. }
        | Step::BindRoot { .. }
        | Step::EnterRoot
        | Step::Device(_)
        | Step::Emulate { .. }
        | Step::RuntimeHooks
        | Step::ContainerHooks { .. }
        | Step::StartHooks { .. }
        | Step::AwaitStart { .. }
        | Step::RootPropagation { .. }
        | Step::Mount { .. }
        | Step::Bind { .. }
        | Step::Directory { .. }
        | Step::Symlink { .. }
        | Step::Terminal
        | Step::Mask { .. }
        | Step::ReadOnly { .. }
        | Step::Hostname { .. }
        | Step::Domainname { .. }
        | Step::Loopback
        | Step::Network
        | Step::Sysctl { .. }
        | Step::PivotRoot { .. }
        | Step::Chroot
        | Step::RootReadOnly => false,
    }
}

/// The plan of one exec. `own` are the limits of whoever calls, above which nobody without privilege can go.
pub fn compile(template: &Template, wish: &Wish, own: &[Ulimit]) -> Plan {
    let mut steps = vec![Step::EnterRoot];
    if wish.tty {
        steps.push(Step::Terminal);
    }
    let is_set = |name: &str| template.steps.iter().any(|step| matches!(step, Step::Rlimit(one) if one.name == name));
    let inherited = template.limits.iter().filter(|limit| !is_set(&limit.name));
    steps.extend(inherited.map(|limit| Step::Rlimit(within(limit, own))));
    steps.extend(template.steps.iter().filter_map(|step| adapted(step, wish, own)));
    Plan {
        network: crate::spec::network::Wiring::default(),
        id: template.id.clone(),
        name: template.name.clone(),
        namespaces: Namespaces::default(),
        ids: IdPlan {
            uid_map: String::new(),
            gid_map: String::new(),
            base_uid_map: String::new(),
            base_gid_map: String::new(),
            setgroups: template.setgroups,
        },
        // The process that clones it enters the container's own.
        cgroup: None,
        host: HostPlan { files: Vec::new(), directories: Vec::new() },
        steps,
        process: process(&template.process, wish),
        listener: None,
        bundle: None,
    }
}

/// None: the step falls away.
fn adapted(step: &Step, wish: &Wish, own: &[Ulimit]) -> Option<Step> {
    Some(match step {
        Step::Rlimit(limit) => Step::Rlimit(within(limit, own)),
        Step::User { user, groups, setgroups } => Step::User {
            user: wish.user.as_ref().unwrap_or(user).clone(),
            groups: groups.clone(),
            setgroups: *setgroups,
        },
        Step::WorkingDirectory { path } => {
            Step::WorkingDirectory { path: wish.workdir.as_ref().map_or_else(|| path.clone(), Into::into) }
        }
        Step::Capabilities(_) if wish.privileged => Step::Capabilities(all_capabilities()),
        Step::Seccomp { .. } if wish.privileged => return None,
        other => other.clone(),
    })
}

fn all_capabilities() -> CapabilitySets {
    let all: Vec<_> = capabilities::NAMES.map(str::to_owned).into();
    CapabilitySets { bounding: all.clone(), effective: all, ..CapabilitySets::default() }
}

fn within(limit: &Ulimit, own: &[Ulimit]) -> Ulimit {
    let most = own.iter().find(|one| one.name == limit.name).map_or(u64::MAX, |one| one.hard);
    Ulimit { name: limit.name.clone(), soft: limit.soft.min(most), hard: limit.hard.min(most) }
}

fn process(container: &Process, wish: &Wish) -> Process {
    let mut env = container.env.clone();
    let mut set = |name: &str, value: &str| {
        let pair = format!("{name}={value}");
        match env.iter_mut().find(|have| have.split('=').next() == Some(name)) {
            Some(have) => *have = pair,
            None => env.push(pair),
        }
    };
    // As docker: a terminal is one of rl's own making, whatever the container's first process has.
    if wish.tty {
        set("TERM", "xterm");
    }
    wish.env.iter().for_each(|(name, value)| set(name, value));
    Process {
        args: wish.args.clone(),
        env,
        set_home: container.set_home && !wish.env.iter().any(|(name, _)| name == "HOME"),
        terminal: wish.tty,
        interactive: wish.interactive,
        init: false,
        detached: false,
        preserve_fds: wish.preserve_fds,
        keep_groups: container.keep_groups,
        oom_score_adj: container.oom_score_adj,
        console_size: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, soft: u64, hard: u64) -> Ulimit {
        Ulimit { name: name.into(), soft, hard }
    }

    fn template() -> Template {
        let sets = CapabilitySets { bounding: vec!["CHOWN".into()], ..CapabilitySets::default() };
        Template {
            id: "id".into(),
            name: "name".into(),
            setgroups: true,
            own_pids: true,
            limits: vec![limit("nofile", 1024, 4096), limit("core", 0, 0)],
            steps: vec![
                Step::Rlimit(limit("core", 7, 7)),
                Step::Umask { mask: 0o27 },
                Step::WorkingDirectory { path: "/srv".into() },
                Step::Seccomp { profile: "default".into() },
                Step::User { user: "www".into(), groups: vec!["tape".into()], setgroups: true },
                Step::Capabilities(sets),
                Step::NoNewPrivileges,
            ],
            process: Process {
                args: vec!["httpd".into()],
                env: vec!["PATH=/bin".into(), "A=1".into()],
                set_home: true,
                terminal: false,
                interactive: false,
                init: true,
                detached: false,
                preserve_fds: 0,
                keep_groups: false,
                oom_score_adj: None,
                console_size: None,
            },
        }
    }

    fn wish() -> Wish {
        Wish { args: vec!["sh".into()], ..Wish::default() }
    }

    #[test]
    fn an_exec_has_the_steps_of_the_container() {
        let plan = compile(&template(), &wish(), &[]);
        let mut wanted = vec![Step::EnterRoot, Step::Rlimit(limit("nofile", 1024, 4096))];
        wanted.extend(template().steps);
        assert_eq!(plan.steps, wanted);
        assert_eq!((plan.process.args.as_slice(), plan.process.init), (["sh".to_owned()].as_slice(), false));
        assert_eq!(plan.process.env, ["PATH=/bin", "A=1"]);
    }

    #[test]
    fn no_limit_is_above_the_callers_own() {
        let plan = compile(&template(), &wish(), &[limit("nofile", 10, 100), limit("core", 3, 3)]);
        assert!(plan.steps.contains(&Step::Rlimit(limit("nofile", 100, 100))), "{:?}", plan.steps);
        assert!(plan.steps.contains(&Step::Rlimit(limit("core", 3, 3))), "{:?}", plan.steps);
    }

    #[test]
    fn words_replace_the_user_the_directory_and_variables() {
        let wish = Wish {
            user: Some("0".into()),
            workdir: Some("/".into()),
            env: vec![("A".into(), "2".into()), ("HOME".into(), "/h".into())],
            tty: true,
            ..wish()
        };
        let plan = compile(&template(), &wish, &[]);
        assert_eq!(plan.steps[..2], [Step::EnterRoot, Step::Terminal]);
        assert!(plan.steps.contains(&Step::WorkingDirectory { path: "/".into() }));
        assert!(
            plan.steps
                .iter()
                .any(|step| matches!(step, Step::User { user, groups, .. } if user == "0" && groups == &["tape"]))
        );
        assert_eq!(plan.process.env, ["PATH=/bin", "A=2", "TERM=xterm", "HOME=/h"]);
        assert!(!plan.process.set_home);
    }

    #[test]
    fn privileged_has_every_capability_and_no_filter_but_keeps_the_rest() {
        let plan = compile(&template(), &Wish { privileged: true, ..wish() }, &[]);
        assert!(plan.steps.contains(&Step::Capabilities(all_capabilities())));
        assert!(!plan.steps.iter().any(|step| matches!(step, Step::Seccomp { .. })));
        assert!(plan.steps.contains(&Step::NoNewPrivileges) && plan.steps.contains(&Step::Umask { mask: 0o27 }));
    }

    #[test]
    fn a_template_comes_back_from_its_json() {
        let text = serde_json::to_string(&template()).expect("JSON");
        assert_eq!(serde_json::from_str::<Template>(&text).expect("a template"), template());
    }
}

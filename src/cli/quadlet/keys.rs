//! The keys of a `.container` file, and the flags of `rl create` that they are.
//!
//! Pure data. The surprise: the order counts only for whoever reads the command that is made of them.

/// What a key is a word of.
pub(super) enum Key {
    /// The last one counts: `--flag=VALUE`.
    One(&'static str),
    /// Each is one: `--flag=VALUE`.
    Each(&'static str),
    /// Each has several, with quotes.
    Words(&'static str),
    /// `--flag` where it is true.
    Truth(&'static str),
    /// `--flag=VALUE`, and a path that starts with a dot is below the file's directory.
    Path(&'static str),
    /// It is more than a word: see `Create::special`.
    Special,
}

/// Of the section [Container].
pub(super) const KEYS: [(&str, Key); 74] = [
    ("AddCapability", Key::Words("cap-add")),
    ("AddDevice", Key::Each("device")),
    ("AddHost", Key::Each("add-host")),
    ("Annotation", Key::Words("annotation")),
    ("AutoUpdate", Key::Special),
    ("CgroupsMode", Key::One("cgroups")),
    ("ContainerName", Key::Special),
    ("DNS", Key::Each("dns")),
    ("DNSOption", Key::Each("dns-option")),
    ("DNSSearch", Key::Each("dns-search")),
    ("DropCapability", Key::Words("cap-drop")),
    ("Entrypoint", Key::One("entrypoint")),
    ("Environment", Key::Words("env")),
    ("EnvironmentFile", Key::Path("env-file")),
    ("EnvironmentHost", Key::Truth("env-host")),
    ("Exec", Key::Special),
    ("ExposeHostPort", Key::Each("expose")),
    ("GIDMap", Key::Each("gidmap")),
    ("GlobalArgs", Key::Special),
    ("Group", Key::Special),
    ("GroupAdd", Key::Each("group-add")),
    ("HealthCmd", Key::One("health-cmd")),
    ("HealthInterval", Key::One("health-interval")),
    ("HealthOnFailure", Key::One("health-on-failure")),
    ("HealthRetries", Key::One("health-retries")),
    ("HealthStartPeriod", Key::One("health-start-period")),
    ("HealthTimeout", Key::One("health-timeout")),
    ("HostName", Key::One("hostname")),
    ("IP", Key::One("ip")),
    ("IP6", Key::One("ip6")),
    ("Image", Key::Special),
    ("Label", Key::Words("label")),
    ("LogDriver", Key::Special),
    ("LogOpt", Key::Each("log-opt")),
    ("Mask", Key::Special),
    ("Memory", Key::One("memory")),
    ("Mount", Key::Special),
    ("Network", Key::Special),
    ("NetworkAlias", Key::Each("network-alias")),
    ("NoNewPrivileges", Key::Special),
    ("Notify", Key::Special),
    ("PidsLimit", Key::One("pids-limit")),
    ("PodmanArgs", Key::Special),
    ("PublishPort", Key::Each("publish")),
    ("Pull", Key::One("pull")),
    ("ReadOnly", Key::Truth("read-only")),
    ("ReadOnlyTmpfs", Key::Truth("read-only-tmpfs")),
    ("ReloadCmd", Key::Special),
    ("ReloadSignal", Key::Special),
    ("Rootfs", Key::Special),
    ("RunInit", Key::Truth("init")),
    ("SeccompProfile", Key::Special),
    ("SecurityLabelDisable", Key::Special),
    ("SecurityLabelFileType", Key::Special),
    ("SecurityLabelLevel", Key::Special),
    ("SecurityLabelType", Key::Special),
    ("ServiceName", Key::Special),
    ("ShmSize", Key::One("shm-size")),
    ("StopSignal", Key::One("stop-signal")),
    ("StopTimeout", Key::One("stop-timeout")),
    ("Sysctl", Key::Words("sysctl")),
    ("Timezone", Key::One("tz")),
    ("Tmpfs", Key::Each("tmpfs")),
    ("UIDMap", Key::Each("uidmap")),
    ("Ulimit", Key::Each("ulimit")),
    ("Unmask", Key::Special),
    ("User", Key::Special),
    ("UserNS", Key::One("userns")),
    ("VolatileTmp", Key::Special),
    ("Volume", Key::Special),
    ("WorkingDir", Key::One("workdir")),
    ("HealthStartupInterval", Key::One("health-start-interval")),
    ("HttpProxy", Key::Truth("http-proxy")),
    ("Platform", Key::One("platform")),
];

/// Why a key makes no unit, where people may look for it.
pub(super) fn elsewhere(key: &str) -> String {
    let why = match key {
        "Pod" | "StartWithPod" => "rl has no pods; containers find each other in a network: Network=NAME.network",
        "Secret" => "rl keeps no secrets; a file that nobody else can read: Volume=./secret:/run/secrets/NAME:ro",
        "SubUIDMap" | "SubGIDMap" | "RemapUsers" | "RemapUid" | "RemapGid" | "RemapUidSize" => {
            "UserNS=, UIDMap= and GIDMap= map ids"
        }
        "HealthStartupCmd" | "HealthStartupRetries" | "HealthStartupSuccess" | "HealthStartupTimeout" => {
            "there is one check; in the beginning: HealthStartPeriod= and HealthStartupInterval="
        }
        "HealthLogDestination" | "HealthMaxLogCount" | "HealthMaxLogSize" => {
            "the last five results are kept, in rl inspect"
        }
        "Retry" | "RetryDelay" => "rl pull tries again by itself",
        "CertDir" => "PodmanArgs=--cert-authority FILE, in an .image file",
        "DecryptionKey" => "rl reads no encrypted images",
        "ContainersConfModule" => "rl reads no containers.conf of podman's",
        "Image" => "a volume of an image is a container's mount: Mount=type=image,source=IMAGE,destination=/path",
        _ => return "is not known to rl".to_owned(),
    };
    format!("is not here: {why}")
}

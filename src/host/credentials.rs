//! The caller's logins at registries, as docker, podman and skopeo keep them.
//!
//! Owns reading and writing `auth.json`, reading docker's `config.json`, and talking to credential helpers. The surprise: it must run before
//! the process enters its namespace, because a helper asks the session's key ring, which knows the caller by uid.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::{Context, Error, Result, catalog::image};

/// Who one is at a registry.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    /// The password belongs into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The login at `registry`, if there is one. The first file that knows the registry counts; with `authfile` that file alone.
///
/// # Errors
/// `RL0324` for a file that is there and can't be understood, or a helper that fails.
pub fn of(registry: &str, authfile: Option<&Path>) -> Result<Option<Credentials>> {
    for file in authfile.map_or_else(files, |file| vec![file.to_owned()]) {
        let Some(document) = read(&file)? else { continue };
        if let Some(found) = in_file(&document, registry).map_err(|error| error.within(&file.display().to_string()))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Keeps a login; gives the place.
///
/// # Errors
/// `RL0324` for a file that can't be understood or written, or a helper that fails.
pub fn keep(registry: &str, login: &Credentials, authfile: Option<&Path>) -> Result<String> {
    let file = own_file(authfile)?;
    let mut document = read(&file)?.unwrap_or_else(|| json!({}));
    if let Some(helper) = helper(&document, registry) {
        let text = json!({ "ServerURL": names(registry)[0], "Username": login.user, "Secret": login.password });
        tell(&helper, "store", text.to_string().as_bytes())?;
        return Ok(format!("docker-credential-{helper}"));
    }
    let auth = STANDARD.encode(format!("{}:{}", login.user, login.password));
    document["auths"][registry] = json!({ "auth": auth });
    write(&file, &document)?;
    Ok(file.display().to_string())
}

/// Forgets a login; `false` where there was none.
///
/// # Errors
/// As [`keep`].
pub fn forget(registry: &str, authfile: Option<&Path>) -> Result<bool> {
    let file = own_file(authfile)?;
    let Some(mut document) = read(&file)? else { return Ok(false) };
    if let Some(helper) = helper(&document, registry) {
        let there = ask(&helper, &names(registry)[0])?.is_some();
        if there {
            tell(&helper, "erase", names(registry)[0].as_bytes())?;
        }
        return Ok(there);
    }
    let auths = document.get_mut("auths").and_then(Value::as_object_mut);
    let Some(auths) = auths else { return Ok(false) };
    let before = auths.len();
    auths.retain(|name, _| !names(registry).contains(name));
    let gone = auths.len() < before;
    if gone {
        write(&file, &document)?;
    }
    Ok(gone)
}

/// Forgets all logins of the file, which is given.
///
/// # Errors
/// As [`keep`].
pub fn forget_all(authfile: Option<&Path>) -> Result<String> {
    let file = own_file(authfile)?;
    if let Some(mut document) = read(&file)? {
        document["auths"] = json!({});
        write(&file, &document)?;
    }
    Ok(file.display().to_string())
}

fn read(file: &Path) -> Result<Option<Value>> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .context(&image::CREDENTIALS, || format!("understand {}", file.display())),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Error::new(&image::CREDENTIALS, format!("read {}", file.display())).because(error)),
    }
}

/// Closed to others, and whole at every moment.
fn write(file: &Path, document: &Value) -> Result<()> {
    let doing = || format!("write {}", file.display());
    let dir = file.parent().unwrap_or(Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(dir).context(&image::CREDENTIALS, doing)?;
    let text = serde_json::to_string_pretty(document).context(&image::CREDENTIALS, doing)?;
    // Of mode 0600 from its first moment on.
    let mut staged = tempfile::NamedTempFile::new_in(dir).context(&image::CREDENTIALS, doing)?;
    staged.write_all(text.as_bytes()).and_then(|()| staged.as_file().sync_all()).context(&image::CREDENTIALS, doing)?;
    staged.persist(file).map(drop).map_err(|error| Error::new(&image::CREDENTIALS, doing()).because(error.error))
}

fn helper(document: &Value, registry: &str) -> Option<String> {
    let named = names(registry).iter().find_map(|name| document["credHelpers"][name].as_str().map(str::to_owned));
    named.or_else(|| document["credsStore"].as_str().map(str::to_owned))
}

/// Where logins are written to: the first place where they are looked for.
fn own_file(authfile: Option<&Path>) -> Result<PathBuf> {
    let first = authfile.map(Path::to_owned).or_else(|| files().into_iter().next());
    first.ok_or_else(|| {
        Error::new(&image::CREDENTIALS, "find a place for logins").fix("Set HOME, or name a file: --authfile FILE")
    })
}

/// containers-auth.json(5), then docker's.
fn files() -> Vec<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(explicit) = var("REGISTRY_AUTH_FILE") {
        return vec![explicit];
    }
    let home = var("HOME");
    let config = var("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let docker = var("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker")));
    let containers = [var("XDG_RUNTIME_DIR"), config].into_iter().flatten().map(|dir| dir.join("containers/auth.json"));
    containers.chain(docker.map(|dir| dir.join("config.json"))).collect()
}

fn in_file(document: &Value, registry: &str) -> Result<Option<Credentials>> {
    let names = names(registry);
    let named = |field: &str| names.iter().find_map(|name| document[field].get(name));
    if let Some(helper) = named("credHelpers").and_then(Value::as_str) {
        return ask(helper, &names[0]);
    }
    let auth = named("auths").and_then(|entry| entry["auth"].as_str()).filter(|auth| !auth.is_empty());
    if let Some(auth) = auth {
        return decode(auth).map(Some);
    }
    match document["credsStore"].as_str() {
        Some(helper) if named("auths").is_some() => ask(helper, &names[0]),
        _ => Ok(None),
    }
}

/// Docker's own registry is known by an address of its first version.
fn names(registry: &str) -> Vec<String> {
    match registry {
        "docker.io" => ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"]
            .map(str::to_owned)
            .to_vec(),
        other => vec![other.to_owned(), format!("https://{other}"), format!("http://{other}")],
    }
}

fn decode(auth: &str) -> Result<Credentials> {
    let doing = || "understand a login".to_owned();
    let bytes = STANDARD.decode(auth.trim()).context(&image::CREDENTIALS, doing)?;
    let text = String::from_utf8(bytes).context(&image::CREDENTIALS, doing)?;
    let (user, password) = text.split_once(':').ok_or_else(|| Error::new(&image::CREDENTIALS, doing()))?;
    // podman pads passwords with zeros.
    Ok(Credentials { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// docker-credential-NAME get: the server on stdin, JSON on stdout.
fn ask(helper: &str, server: &str) -> Result<Option<Credentials>> {
    let Some(said) = talk(helper, "get", server.as_bytes())? else { return Ok(None) };
    let answer: Value = serde_json::from_str(&said)
        .context(&image::CREDENTIALS, || format!("understand docker-credential-{helper}"))?;
    let text = |field: &str| answer[field].as_str().map(str::to_owned);
    Ok(text("Username").zip(text("Secret")).map(|(user, password)| Credentials { user, password }))
}

fn tell(helper: &str, verb: &str, input: &[u8]) -> Result<()> {
    talk(helper, verb, input).map(drop)
}

/// What the helper says; `None`: that there is no such login.
fn talk(helper: &str, verb: &str, input: &[u8]) -> Result<Option<String>> {
    let program = format!("docker-credential-{helper}");
    let doing = || format!("run {program} {verb}");
    // A path or an option in its place would run something else.
    if !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Error::new(&image::CREDENTIALS, doing()).because("this is no name of a helper"));
    }
    let mut command = Command::new(&program);
    let child = command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.context(&image::CREDENTIALS, doing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may have ended already; its answer says why.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().context(&image::CREDENTIALS, doing)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(Some(said));
    }
    if said.contains("credentials not found") {
        return Ok(None);
    }
    let why = format!("{} {}", said.trim(), String::from_utf8_lossy(&output.stderr).trim());
    Err(Error::new(&image::CREDENTIALS, doing()).because(why.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &Value, registry: &str) -> Option<(String, String)> {
        in_file(document, registry).expect("understood").map(|found| (found.user, found.password))
    }

    #[test]
    fn logins_of_docker_and_podman_are_found() {
        let auth = |text: &str| json!({ "auth": STANDARD.encode(text) });
        let document = json!({ "auths": {
            "https://index.docker.io/v1/": auth("me:secret"), "ghcr.io": auth("you:a:b"), "https://old.org": auth("he:x\u{0}\u{0}"),
            "empty.org": {},
        } });
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found(&document, "docker.io"), pair("me", "secret"));
        assert_eq!(found(&document, "ghcr.io"), pair("you", "a:b"));
        assert_eq!(found(&document, "old.org"), pair("he", "x"));
        assert_eq!(found(&document, "empty.org"), None);
        assert_eq!(found(&document, "else.org"), None);
    }

    #[test]
    fn what_is_no_login_or_no_helper_is_an_error() {
        assert!(in_file(&json!({ "auths": { "x.org": { "auth": "%%%" } } }), "x.org").is_err());
        assert!(in_file(&json!({ "credHelpers": { "x.org": "../../bin/sh" } }), "x.org").is_err());
        assert!(!format!("{:?}", decode(&STANDARD.encode("me:secret")).expect("a login")).contains("secret"));
    }
}

//! Trees that come back as they were, and streams that lie about where they go.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

const AS_THEY_ARE: Owners<'static> = Owners { uid: &|uid| uid, gid: &|gid| gid };

fn dir() -> (tempfile::TempDir, fs::File) {
    let dir = tempfile::tempdir().expect("a directory");
    let open = fs::File::open(dir.path()).expect("open");
    (dir, open)
}

fn packed(of: &fs::File) -> Vec<u8> {
    let mut pack = Pack::new(Vec::new(), AS_THEY_ARE);
    pack.directory(of.as_fd(), b"").expect("pack");
    pack.finish().expect("finish")
}

fn unpack(stream: &[u8], top: &fs::File, within: Within) -> std::io::Result<()> {
    Unpack { top: top.as_fd(), at: PathBuf::new(), within, owner: &|_, _| None, mode: 0o7777 }.all(stream)
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let (from, of) = dir();
    let long = "x".repeat(200);
    fs::create_dir(from.path().join("sub")).expect("mkdir");
    fs::write(from.path().join("sub").join(&long), "content").expect("write");
    fs::write(from.path().join("sub/été"), "").expect("write");
    fs::hard_link(from.path().join("sub").join(&long), from.path().join("twin")).expect("link");
    symlink("/nowhere/..", from.path().join("away")).expect("symlink");
    nix::unistd::mkfifo(&from.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).expect("mkfifo");
    fs::set_permissions(from.path().join("twin"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    let stream = packed(&of);
    let (to, top) = dir();
    unpack(&stream, &top, Within::Directory).expect("unpack");
    let at = |name: &str| to.path().join(name);
    assert_eq!(fs::read_to_string(at("twin")).expect("read"), "content");
    assert_eq!(fs::metadata(at("twin")).expect("stat").mode() & 0o7777, 0o4751);
    let inode = |name: PathBuf| fs::metadata(name).expect("stat").ino();
    assert_eq!(inode(at("twin")), inode(at("sub").join(&long)));
    assert_eq!(fs::read_link(at("away")).expect("link"), PathBuf::from("/nowhere/.."));
    assert!(at("sub/été").exists() && fs::symlink_metadata(at("fifo")).is_ok());
    // The other tool that reads it.
    let listed = std::process::Command::new("tar")
        .arg("-tf")
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), &stream)?;
            child.wait_with_output()
        })
        .expect("tar");
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains(&long));
}

fn stream(entries: &[(&str, tar::EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, link, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().expect("ustar").name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_ustar_mut().expect("ustar").linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).expect("append");
    }
    builder.into_inner().expect("archive")
}

#[test]
fn no_entry_gets_out_of_the_directory() {
    use tar::EntryType::{Link, Regular, Symlink};
    let (outside, _) = dir();
    let victim = outside.path().join("victim");
    let there = outside.path().to_string_lossy().into_owned();
    let there = there.as_str();
    let name = format!("{there}/victim");
    for entries in [
        vec![("../victim", Regular, "", "bad")],
        vec![("a/../../victim", Regular, "", "bad")],
        vec![("link", Symlink, there, ""), ("link/victim", Regular, "", "bad")],
        vec![("link", Symlink, name.as_str(), ""), ("hard", Link, "link/x", ""), ("hard", Regular, "", "bad")],
        vec![("hard", Link, "../victim", "")],
    ] {
        fs::write(&victim, "good").expect("write");
        let (_to, top) = dir();
        assert!(unpack(&stream(&entries), &top, Within::Directory).is_err(), "{entries:?}");
        let _ = unpack(&stream(&entries), &top, Within::Root);
        assert_eq!(fs::read_to_string(&victim).expect("read"), "good", "{entries:?}");
        assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 1, "{entries:?}");
    }
    // A link that is there is replaced, not written through.
    let (to, top) = dir();
    symlink(&victim, to.path().join("file")).expect("symlink");
    unpack(&stream(&[("file", Regular, "", "new")]), &top, Within::Directory).expect("unpack");
    assert_eq!(fs::read_to_string(&victim).expect("read"), "good");
    assert_eq!(fs::read_to_string(to.path().join("file")).expect("read"), "new");
}

#[test]
fn in_a_root_links_lead_inside() {
    let (to, top) = dir();
    fs::create_dir_all(to.path().join("usr/lib")).expect("mkdir");
    symlink("/usr/lib", to.path().join("lib")).expect("symlink");
    unpack(&stream(&[("lib/file", tar::EntryType::Regular, "", "x")]), &top, Within::Root).expect("unpack");
    assert_eq!(fs::read_to_string(to.path().join("usr/lib/file")).expect("read"), "x");
}

#[test]
fn a_layer_says_what_is_not_there_any_more() {
    let (from, of) = dir();
    fs::create_dir(from.path().join("dir")).expect("mkdir");
    let made = nix::sys::stat::mknod(
        &from.path().join("dir/gone"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::empty(),
        0,
    );
    made.expect("a whiteout needs no privilege");
    let mut pack = Pack::new(Vec::new(), AS_THEY_ARE).layer();
    pack.directory(of.as_fd(), b"").expect("pack");
    let stream = pack.finish().expect("finish");
    let mut archive = tar::Archive::new(stream.as_slice());
    let names: Vec<_> = archive
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("entry").path().expect("path").into_owned())
        .collect();
    assert_eq!(names, [PathBuf::from("dir/"), PathBuf::from("dir/.wh.gone")]);
}

/// It came with status 0, under the name `GNUSparseFile.0/x`, and its data began with the map.
#[test]
fn a_sparse_file_of_the_posix_format_is_refused_by_name() {
    let mut builder = tar::Builder::new(Vec::new());
    let sparse = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "x")];
    builder.append_pax_extensions(sparse.map(|(key, value)| (key, value.as_bytes()))).expect("append");
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_cksum();
    builder.append_data(&mut header, "GNUSparseFile.0/x", &b"0\n"[..]).expect("append");
    let (_temporary, top) = dir();
    let error = unpack(&builder.into_inner().expect("an archive"), &top, Within::Directory).expect_err("sparse");
    assert!(error.to_string().contains("GNUSparseFile.0/x: a sparse file of the posix format"), "{error}");
}

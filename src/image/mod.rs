//! tmp
use crate::error::*;
pub fn remove_tree(p: &std::path::Path) -> Result<()> { std::fs::remove_dir_all(p).context(&catalog::state::STATE, || "x".into()) }
/// x
pub struct Store; pub struct Image { pub config: crate::spec::ImageConfig, pub layers: Vec<std::path::PathBuf> }
impl Store { pub fn open(_: &crate::host::Dirs) -> Result<Self> { Ok(Store) } pub fn find(&self, n: &str) -> Result<Image> { Err(Error::new(&catalog::image::IMAGE_NOT_FOUND, n)) } }

//! Reads the files that a configuration is made of.

use std::{fs, path::Path};

use super::{
    Config, Problem, Problems, Secret, Tls,
    daemon::{self, Source, World},
    site,
};
use crate::domain::Site;

/// Reads a configuration and its site file; paths in it are relative to it.
///
/// # Errors
/// Everything that is wrong in both files.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_strictly(path, &|_| Vec::new())
}

/// Like [`load`], and asks `certificates` what is wrong with the files of TLS as well: the key that names a file, and a
/// sentence. A daemon starts without: it has more to do than to speak to brokers, and takes the files when they are good.
///
/// # Errors
/// Everything that is wrong.
pub fn load_strictly(
    path: &Path,
    certificates: &dyn Fn(&Tls) -> Vec<(&'static str, String)>,
) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let text = read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let lookup = |source: Source<'_>| secret(folder, source);
    let inspect = |tls: &Tls| certificates(&tls.within(folder));
    let draft = daemon::check(&name, &text, World { secrets: &lookup, certificates: &inspect });
    let mut problems = draft.problems;
    let site = draft.site_file.map(|file| load_site(&folder.join(file)));
    match (site, draft.build) {
        (Some(Ok(site)), Some(build)) if problems.is_empty() => {
            let mut config = build(site);
            config.dir = folder.join(&config.dir);
            let uplink = config.uplink.as_mut().map(|uplink| &mut uplink.broker);
            for broker in config.anchors.as_mut().into_iter().chain(uplink) {
                broker.tls = broker.tls.as_ref().map(|tls| tls.within(folder));
            }
            return Ok(config);
        }
        (Some(Err(wrong)), _) => problems.extend(wrong.0),
        _ => {}
    }
    Err(Problems(problems))
}

/// Reads a site file.
///
/// # Errors
/// Everything that is wrong in it.
pub fn load_site(path: &Path) -> Result<Site, Problems> {
    site::check(&path.display().to_string(), &read(path)?).map_err(Problems)
}

fn read(path: &Path) -> Result<String, Problems> {
    fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}");
        Problems(vec![Problem { file: path.display().to_string(), line: 0, key: String::new(), message }])
    })
}

fn secret(folder: &Path, source: Source<'_>) -> Result<Secret, String> {
    let text = match source {
        Source::File(file) => {
            fs::read_to_string(folder.join(file)).map_err(|error| format!("{file} cannot be read: {error}"))?
        }
        Source::Env(name) => std::env::var(name).map_err(|_| format!("the environment has no variable {name}"))?,
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("holds no password".to_owned()) } else { Ok(Secret::new(text)) }
}

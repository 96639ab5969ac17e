//! The password for PostgreSQL where everybody else looks for it: `PGPASSWORD`, then `PGPASSFILE` or `~/.pgpass`. A file
//! that others may read is left alone, as `libpq` does.

use std::{env, fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use tokio_postgres::{Config, config::Host};

const USUAL_PORT: u16 = 5432;

/// The password for `config`, if there is one.
pub(super) fn find(config: &Config) -> Option<String> {
    if let Ok(password) = env::var("PGPASSWORD") {
        return Some(password);
    }
    let told = env::var_os("PGPASSFILE").map(PathBuf::from);
    let path = told.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass")))?;
    let metadata = fs::metadata(&path).ok()?;
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the password file is left alone because others may read it; chmod 600");
        return None;
    }
    let host = match config.get_hosts().first()? {
        Host::Tcp(name) => name.clone(),
        Host::Unix(_) => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(USUAL_PORT).to_string();
    let user = config.get_user()?;
    look_up(&fs::read_to_string(&path).ok()?, [&host, &port, config.get_dbname().unwrap_or(user), user])
}

/// In lines of `host:port:database:user:password`, where `*` fits anything and a backslash keeps the next character.
fn look_up(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split(line);
        let [known @ .., password] = fields.as_slice() else { return None };
        let fits = known.len() == wanted.len() && known.iter().zip(wanted).all(|(is, wants)| is == "*" || is == wants);
        fits.then(|| password.clone())
    })
}

fn split(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut letters) = (Vec::new(), String::new(), line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => field.extend(letters.next()),
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_is_taken() {
        let text = "# comment\nother:5432:*:anna:no\ndb:*:floor:anna:a\\:b\\\\:c\n*:*:*:*:last\n";
        assert_eq!(look_up(text, ["db", "5432", "floor", "anna"]).as_deref(), Some("a:b\\:c"));
        assert_eq!(look_up(text, ["db", "5432", "floor", "bob"]).as_deref(), Some("last"));
        assert_eq!(look_up("db:5432:floor:anna", ["db", "5432", "floor", "anna"]), None);
    }
}

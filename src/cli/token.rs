//! `showfloor token`: issues, lists and revokes tokens of the box. The daemon may be running; it asks the same book.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};

use super::print;
use crate::{
    access::{AccessBook, TokenRole},
    config,
};

/// Arguments of `showfloor token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// The configuration of the box
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SHOWFLOOR_CONFIG",
        default_value = "/etc/showfloor/showfloor.toml"
    )]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints a new token: the only time that it can be seen
    Issue {
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// Name of the token; of a kiosk: the kiosk's id
        #[arg(long)]
        name: String,
        /// For staff whose token is not named after them: their id
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
    },
    /// Shows the tokens that are valid, never themselves
    List,
    /// Ends the token of that name
    Revoke {
        /// Which
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Staff,
    Kiosk,
    Service,
}

impl From<Role> for TokenRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Staff => Self::Staff,
            Role::Kiosk => Self::Kiosk,
            Role::Service => Self::Service,
        }
    }
}

/// Does what was asked.
///
/// # Errors
/// When the configuration or the data directory cannot be used, or the name makes no sense.
pub fn run(args: &Args) -> Result<()> {
    let config = config::load(&args.config)?;
    let book = AccessBook::open(&config.dir)?;
    match &args.action {
        Action::Issue { role, name, subject } => {
            let token = book.issue((*role).into(), name, subject.as_deref())?;
            writeln!(io::stdout(), "{token}").context("the token was issued and could not be printed; revoke it")?;
        }
        Action::List => {
            for token in book.list()? {
                let subject = token.identity.subject.as_deref().unwrap_or("-");
                let (name, role) = (&token.identity.name, token.identity.role);
                print::line(format_args!("{name}\t{role}\t{subject}\t{}", token.issued_at))?;
            }
        }
        Action::Revoke { name } => {
            book.revoke(name)?;
            writeln!(
                io::stderr(),
                "token {name:?} is refused from now on; clients that are connected with it are closed"
            )?;
        }
    }
    Ok(())
}

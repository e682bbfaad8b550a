//! `larder credentials`: who may use a tenant, and how a password is replaced without a failed request.

use std::io::BufRead;

use anyhow::{Context, bail};
use clap::Subcommand;
use larder_control::{
    Access, Accounts, Chosen, CredentialChange, CredentialRecord, Form, NewCredential, Secret,
    utc_minute,
};
use larder_tenancy::{Capabilities, TenantName};
use serde_json::{Value, json};

use super::format::Format;
use super::place::Place;
use super::table::{Side, Table};
use super::{
    ListFormat, actor, ask, bold, explained, known_servers, print, tenant_name, wait_for_nodes,
};
use crate::now::now;
use crate::{tell, units};

const ROTATION: &str = "\
To replace a password without a failed request: `rotate` makes a new one, which is the primary from then
on, while the old one still works; give the new variables to all processes of the application; then
`revoke` the old one, which closes what is left of its connections.";

/// Flags of `larder credentials`.
#[derive(Debug, clap::Args)]
#[command(after_help = ROTATION)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the credentials of a tenant
    List {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// As a table or as JSON
        #[arg(long, value_enum, default_value_t = ListFormat::Table)]
        format: ListFormat,
    },
    /// Makes a credential and prints it, once
    Create(Box<Create>),
    /// Changes what a credential may do; what is not given stays
    Change(Box<Change>),
    /// Makes a credential the primary one, with which applications are configured
    Promote {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// The credential
        username: String,
    },
    /// Removes a credential and closes its connections
    Revoke {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// The credential
        username: String,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Makes a new primary credential that may do what the old one may; the old one works on until it
    /// is revoked
    Rotate {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// In which form to print it
        #[arg(long, value_enum, default_value_t = Format(Form::Env))]
        format: Format,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The tenant
    #[arg(value_parser = tenant_name)]
    tenant: TenantName,
    /// What it may do: some of read,write,flush,admin
    #[arg(long, value_name = "LIST", default_value = "read,write,flush")]
    can: Capabilities,
    /// The beginning of every key that it may use; excludes flush  [default: all keys]
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// For how long it works, such as 12h or 30d  [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<u64>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A username of one's own; its password is read from standard input
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// In which form to print it
    #[arg(long, value_enum, default_value_t = Format(Form::Env))]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The tenant
    #[arg(value_parser = tenant_name)]
    tenant: TenantName,
    /// The credential
    username: String,
    /// What it may do: some of read,write,flush,admin, or none
    #[arg(long, value_name = "LIST")]
    can: Option<Capabilities>,
    /// The beginning of every key that it may use
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Lets it use all keys
    #[arg(long, conflicts_with = "prefix")]
    no_prefix: bool,
    /// For how long it works from now on, such as 12h or 30d
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<u64>,
    /// Lets it work for ever
    #[arg(long, conflicts_with = "expires")]
    never_expires: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// For clap: a time from now on, in seconds since 1970.
fn lifetime(text: &str) -> Result<u64, String> {
    let time = units::duration(text).filter(|time| time.as_secs() > 0);
    let time = time.ok_or_else(|| format!("want {}, at least 1s", units::DURATION))?;
    Ok(now().saturating_add(time.as_secs()))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let place = args.place;
    let accounts = place.open_existing().await?;
    let result = match args.command {
        Command::List { tenant, format } => list(&accounts, &tenant, format).await,
        Command::Create(create) => make(&accounts, *create).await,
        Command::Change(change) => alter(&accounts, *change).await,
        Command::Promote { tenant, username } => promote(&accounts, &tenant, &username).await,
        Command::Revoke { tenant, username, yes } => {
            revoke(&accounts, &tenant, &username, yes).await
        }
        Command::Rotate { tenant, format } => rotate(&accounts, &tenant, format, &place).await,
    };
    accounts.close().await;
    result
}

async fn list(accounts: &Accounts, tenant: &TenantName, format: ListFormat) -> anyhow::Result<()> {
    let credentials = accounts.credentials(tenant).await.map_err(explained)?;
    if format == ListFormat::Json {
        return print(&format!("{:#}\n", credentials.iter().map(facts).collect::<Value>()));
    }
    let mut table = Table::new([
        ("USERNAME", Side::Left),
        ("MAY", Side::Left),
        ("KEYS", Side::Left),
        ("EXPIRES (UTC)", Side::Left),
        ("LAST USED (UTC)", Side::Left),
        ("NOTE", Side::Left),
    ]);
    for one in &credentials {
        let primary = if one.is_primary { " (primary)" } else { "" };
        let expired = one.expires.is_some_and(|at| at <= now());
        let expires = match one.expires {
            None => "never".to_owned(),
            Some(at) if expired => format!("{} (over)", utc_minute(at)),
            Some(at) => utc_minute(at),
        };
        table.row([
            format!("{}{primary}", one.username),
            one.capabilities.to_string(),
            one.key_prefix.as_ref().map_or_else(|| "all".to_owned(), |prefix| format!("{prefix}*")),
            expires,
            one.last_used.map_or_else(|| "never".to_owned(), utc_minute),
            one.note.clone(),
        ]);
    }
    print(&table.text(bold()))
}

async fn make(accounts: &Accounts, create: Create) -> anyhow::Result<()> {
    let Create { tenant, can, prefix, expires, note, username, format } = create;
    let chosen = match username {
        Some(username) => Some(Chosen { username, password: password()? }),
        None => None,
    };
    let is_chosen = chosen.is_some();
    // A flush would reach keys that the credential may not.
    let capabilities = if prefix.is_some() { can - Capabilities::FLUSH } else { can };
    let note = note.unwrap_or_default();
    let new = NewCredential { capabilities, key_prefix: prefix, expires, note, chosen };
    let made = accounts.create_credential(&actor("credentials create"), &tenant, new).await;
    let made = made.map_err(explained)?;
    wait_for_nodes(accounts, made.version).await;
    let Secret { username, password } = made.value;
    // Who chose the password knows it, and others may look on.
    let password = (!is_chosen).then_some(password);
    print(&Access { servers: known_servers(accounts).await, username, password }.text(format.0))
}

/// The password that somebody chose: a line of standard input.
fn password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if std::io::IsTerminal::is_terminal(&stdin) {
        tell::error("Password (at least 12 characters; it is shown as you type):");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("--username: its password is to be a line of standard input, and there is none");
    }
    Ok(password.to_owned())
}

async fn alter(accounts: &Accounts, change: Change) -> anyhow::Result<()> {
    let Change { tenant, username, can, prefix, no_prefix, expires, never_expires, note } = change;
    let change = CredentialChange {
        capabilities: can,
        key_prefix: if no_prefix { Some(None) } else { prefix.map(Some) },
        expires: if never_expires { Some(None) } else { expires.map(Some) },
        note,
    };
    if change == CredentialChange::default() {
        bail!(
            "nothing to change: give --can, --prefix, --no-prefix, --expires, --never-expires or \
             --note"
        );
    }
    let by = actor("credentials change");
    let changed = accounts.change_credential(&by, &tenant, &username, change).await;
    let changed = changed.map_err(explained)?;
    wait_for_nodes(accounts, changed.version).await;
    let one = changed.value;
    let keys = one.key_prefix.map_or_else(|| "all keys".to_owned(), |prefix| format!("{prefix}*"));
    tell::error(format_args!("{username} may {} of {keys}.", one.capabilities));
    Ok(())
}

async fn promote(accounts: &Accounts, tenant: &TenantName, username: &str) -> anyhow::Result<()> {
    let by = actor("credentials promote");
    let promoted = accounts.promote_credential(&by, tenant, username).await;
    wait_for_nodes(accounts, promoted.map_err(explained)?.version).await;
    tell::error(format_args!("{username} is the primary credential of {tenant} now."));
    Ok(())
}

async fn revoke(
    accounts: &Accounts,
    tenant: &TenantName,
    username: &str,
    yes: bool,
) -> anyhow::Result<()> {
    let all = accounts.credentials(tenant).await.map_err(explained)?;
    if !all.iter().any(|one| one.username == username) {
        bail!(
            "{tenant} has no credential {username:?}; larder credentials list {tenant} lists them"
        );
    }
    ask::sure(yes, &format!("This revokes {username} and closes its connections."))?;
    let by = actor("credentials revoke");
    let revoked = accounts.revoke_credential(&by, tenant, username).await;
    wait_for_nodes(accounts, revoked.map_err(explained)?.version).await;
    tell::error(format_args!("{username} is revoked."));
    Ok(())
}

async fn rotate(
    accounts: &Accounts,
    tenant: &TenantName,
    format: Format,
    place: &Place,
) -> anyhow::Result<()> {
    let by = actor("credentials rotate");
    let all = accounts.credentials(tenant).await.map_err(explained)?;
    let old = all.into_iter().find(|one| one.is_primary).context("there is no primary one")?;
    let new = NewCredential {
        capabilities: old.capabilities,
        key_prefix: old.key_prefix,
        expires: None,
        note: old.note,
        chosen: None,
    };
    let made = accounts.create_credential(&by, tenant, new).await.map_err(explained)?;
    let Secret { username, password } = made.value;
    let promoted = accounts.promote_credential(&by, tenant, &username).await;
    wait_for_nodes(accounts, promoted.map_err(explained)?.version).await;
    let servers = known_servers(accounts).await;
    print(&Access { servers, username, password: Some(password) }.text(format.0))?;
    tell::error(format_args!(
        "{} works on. When every process has the new variables: larder credentials revoke \
         {tenant} {}{}",
        old.username,
        old.username,
        place.flags()
    ));
    Ok(())
}

/// A credential for programs.
fn facts(one: &CredentialRecord) -> Value {
    json!({
        "username": one.username,
        "tenant": one.tenant.as_str(),
        "capabilities": one.capabilities.names().collect::<Vec<_>>(),
        "key_prefix": one.key_prefix,
        "expires": one.expires,
        "note": one.note,
        "is_primary": one.is_primary,
        "is_chosen": one.is_chosen,
        "created": one.created,
        "last_used": one.last_used,
    })
}

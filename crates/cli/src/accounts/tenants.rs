//! `larder tenants`: looks at tenants and changes them.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use larder_control::{Access, Accounts, TenantChange, TenantRecord, utc_minute};
use larder_tenancy::TenantName;
use serde_json::{Value, json};

use super::format::Format;
use super::place::Place;
use super::provision::{floor, label};
use super::table::{Side, Table};
use super::{
    ListFormat, actor, ask, bold, explained, known_servers, print, size, tenant_name,
    wait_for_nodes,
};
use crate::{tell, units};

/// Flags of `larder tenants`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    /// As a table or as JSON
    #[arg(long, value_enum)]
    format: Option<ListFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the tenants (what happens without a command)
    List(List),
    /// Shows a tenant, or how it is reached, without the password
    Show {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// table, json, or a form of the variables: env, heroku, django, flask, node, rust
        #[arg(long, default_value = "table", value_parser = show)]
        format: Show,
    },
    /// Changes how much memory a tenant has; what is not given stays
    Resize {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Memory that the cache may take, on each server; its guarantee is the same, unless --floor
        /// says otherwise
        #[arg(long, value_name = "SIZE", value_parser = size, required_unless_present = "floor")]
        memory: Option<u64>,
        /// Memory that nobody else may take from it
        #[arg(long, value_name = "SIZE", value_parser = floor)]
        floor: Option<u64>,
    },
    /// Sets labels; NAME= removes one
    Label {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// What to file it under, for people
        #[arg(value_name = "NAME=VALUE", value_parser = label, required = true)]
        labels: Vec<(String, String)>,
    },
    /// Removes a tenant, its credentials and all that it has cached
    Remove {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Makes all that a tenant has cached a miss, on every server
    Flush {
        /// The tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What `larder tenants show` prints.
#[derive(Debug, Clone, Copy)]
enum Show {
    Facts(ListFormat),
    Access(Format),
}

fn show(text: &str) -> Result<Show, String> {
    let facts = ListFormat::from_str(text, false).map(Show::Facts);
    facts
        .or_else(|_| Format::from_str(text, false).map(Show::Access))
        .map_err(|_| "want table, json, env, heroku, django, flask, node or rust".to_owned())
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let command = match (args.command, args.list.format) {
        (Some(command), None) => command,
        (None, format) | (Some(Command::List(List { format: None })), format) => {
            Command::List(List { format })
        }
        (Some(_), Some(_)) => bail!("--format stands after the command that it is for"),
    };
    let accounts = args.place.open_existing().await?;
    let result = match command {
        Command::List(List { format }) => list(&accounts, format, &args.place).await,
        Command::Show { name, format } => show_one(&accounts, &name, format, &args.place).await,
        Command::Resize { name, memory, floor } => resize(&accounts, &name, memory, floor).await,
        Command::Label { name, labels } => set_labels(&accounts, &name, labels).await,
        Command::Remove { name, yes } => remove(&accounts, &name, yes).await,
        Command::Flush { name, yes } => flush(&accounts, &name, yes).await,
    };
    accounts.close().await;
    result
}

async fn list(
    accounts: &Accounts,
    format: Option<ListFormat>,
    place: &Place,
) -> anyhow::Result<()> {
    let tenants = accounts.tenants().await?;
    if format == Some(ListFormat::Json) {
        return print(&format!("{:#}\n", tenants.iter().map(facts).collect::<Value>()));
    }
    let (left, right) = (Side::Left, Side::Right);
    let mut table = Table::new([
        ("TENANT", left),
        ("MEMORY", right),
        ("GUARANTEED", right),
        ("PRIMARY", left),
        ("CREATED (UTC)", left),
        ("LABELS", left),
    ]);
    for tenant in &tenants {
        table.row([
            tenant.name.to_string(),
            units::show_size(tenant.ceiling),
            units::show_size(tenant.floor),
            tenant.primary.clone(),
            utc_minute(tenant.created),
            shown_labels(&tenant.labels),
        ]);
    }
    if table.is_empty() {
        let flags = place.flags();
        tell::error(format_args!("There are no tenants; larder provision NAME{flags} makes one."));
        return Ok(());
    }
    print(&table.text(bold()))?;
    let capacity = accounts.capacity().await?;
    if let (Some(memory), Some(free)) = (capacity.memory_bytes, capacity.free) {
        let [floors, free, memory] = [capacity.floors, free, memory].map(units::show_size);
        tell::error(format_args!(
            "\n{floors} of the {memory} of the smallest server are guaranteed; {free} are free."
        ));
    }
    Ok(())
}

async fn show_one(
    accounts: &Accounts,
    name: &TenantName,
    format: Show,
    place: &Place,
) -> anyhow::Result<()> {
    let tenant = accounts.tenant(name).await.map_err(explained)?;
    let servers = known_servers(accounts).await;
    let format = match format {
        Show::Access(format) => format,
        Show::Facts(ListFormat::Json) => {
            let mut facts = facts(&tenant);
            facts["servers"] = servers.into();
            return print(&format!("{facts:#}\n"));
        }
        Show::Facts(ListFormat::Table) => {
            let credentials = accounts.credentials(name).await?.len();
            return print(&card(&tenant, &servers, credentials));
        }
    };
    let access = Access { servers, username: tenant.primary, password: None };
    print(&access.text(format.0))?;
    tell::error(format_args!(
        "The password was shown when it was made and is not kept. A new one: \
         larder credentials rotate {name}{}",
        place.flags()
    ));
    Ok(())
}

async fn resize(
    accounts: &Accounts,
    name: &TenantName,
    memory: Option<u64>,
    floor: Option<u64>,
) -> anyhow::Result<()> {
    let floor = floor.or(memory);
    if let (Some(floor), Some(memory)) = (floor, memory)
        && floor > memory
    {
        bail!("--floor: a guarantee above the --memory that the cache may take at all");
    }
    let change = TenantChange { floor, ceiling: memory, labels: None };
    let changed = accounts.change_tenant(&actor("tenants resize"), name, change).await;
    let changed = changed.map_err(explained)?;
    wait_for_nodes(accounts, changed.version).await;
    let TenantRecord { ceiling, floor, .. } = changed.value;
    let [memory, floor] = [ceiling, floor].map(units::show_size);
    tell::error(format_args!("{name} may take {memory} on each server, {floor} of it guaranteed."));
    Ok(())
}

async fn set_labels(
    accounts: &Accounts,
    name: &TenantName,
    labels: Vec<(String, String)>,
) -> anyhow::Result<()> {
    let mut all = accounts.tenant(name).await.map_err(explained)?.labels;
    for (label, value) in labels {
        if value.is_empty() {
            all.remove(&label);
        } else {
            all.insert(label, value);
        }
    }
    let change = TenantChange { labels: Some(all), ..TenantChange::default() };
    let changed = accounts.change_tenant(&actor("tenants label"), name, change).await;
    let labels = shown_labels(&changed.map_err(explained)?.value.labels);
    let labels = if labels.is_empty() { "no labels" } else { &labels };
    tell::error(format_args!("{name} has {labels}."));
    Ok(())
}

async fn remove(accounts: &Accounts, name: &TenantName, yes: bool) -> anyhow::Result<()> {
    accounts.tenant(name).await.map_err(explained)?;
    ask::sure(yes, &format!("This removes {name}, its credentials and all that it has cached."))?;
    let removed = accounts.remove_tenant(&actor("tenants remove"), name).await;
    wait_for_nodes(accounts, removed.map_err(explained)?.version).await;
    tell::error(format_args!("{name} is removed."));
    Ok(())
}

/// Makes all that a tenant has cached a miss.
pub(super) async fn flush(accounts: &Accounts, name: &TenantName, yes: bool) -> anyhow::Result<()> {
    accounts.tenant(name).await.map_err(explained)?;
    ask::sure(yes, &format!("This makes all that {name} has cached a miss, on every server."))?;
    let flushed = accounts.flush_tenant(&actor("tenants flush"), name).await;
    wait_for_nodes(accounts, flushed.map_err(explained)?.version).await;
    tell::error(format_args!("{name} is flushed."));
    Ok(())
}

/// A tenant for programs.
fn facts(tenant: &TenantRecord) -> Value {
    json!({
        "id": tenant.id.get(),
        "name": tenant.name.as_str(),
        "floor_bytes": tenant.floor,
        "ceiling_bytes": tenant.ceiling,
        "labels": tenant.labels,
        "flushes": tenant.flushes,
        "created": tenant.created,
        "primary": tenant.primary,
    })
}

/// A tenant for people.
fn card(tenant: &TenantRecord, servers: &[String], credentials: usize) -> String {
    let labels = shown_labels(&tenant.labels);
    let lines = [
        ("Tenant", tenant.name.to_string()),
        ("Memory", format!("{} on each server", units::show_size(tenant.ceiling))),
        ("Guaranteed", units::show_size(tenant.floor)),
        ("Servers", servers.join(", ")),
        ("Username", format!("{} (primary; {credentials} in all)", tenant.primary)),
        ("Created", format!("{} UTC", utc_minute(tenant.created))),
        ("Flushed", format!("{} times", tenant.flushes)),
        ("Labels", if labels.is_empty() { "none".to_owned() } else { labels }),
    ];
    lines.iter().map(|(heading, line)| format!("{heading:<11}{line}\n")).collect()
}

fn shown_labels(labels: &BTreeMap<String, String>) -> String {
    let all: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join(" ")
}

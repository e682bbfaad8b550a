//! Figures: what `stats` and the binary protocol's stat tell.
//!
//! Both protocols share everything but the form of a line ([`Figures`]). The names are memcached's, and
//! what it has but this server has not is left out, or 0 where a 0 is true. Where the directory has several
//! tenants each sees its own figures, and of the node what is nobody's business in particular.

mod classes;
mod conns;
mod detail;
mod general;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;

use larder_proto::server::Words;
use larder_proto::server::binary::{Head, Status};
use larder_tenancy::{Capabilities, TenantId};

use super::dump;
use crate::counters::{Count, Counted};
use crate::cx::{Cx, Flow};
use crate::node::TenantState;

pub(crate) use conns::Conns;
pub(crate) use detail::{Detail, Prefixes};

/// How figures are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// `STAT name value`, ended by `END`.
    Text,
    /// A reply each to one stat request, ended by one without a name.
    Binary(Head),
}

/// Where figures go.
pub(crate) struct Figures<'o> {
    form: Form,
    out: &'o mut Vec<u8>,
}

impl<'o> Figures<'o> {
    pub(crate) fn new(form: Form, out: &'o mut Vec<u8>) -> Figures<'o> {
        Figures { form, out }
    }

    /// One figure.
    pub(crate) fn put(&mut self, name: impl Display, value: impl Display) {
        match self.form {
            Form::Text => {
                // Writing to memory cannot fail.
                let _ = write!(self.out, "STAT {name} {value}\r\n");
            }
            Form::Binary(head) => {
                head.stat(self.out, name.to_string().as_bytes(), value.to_string().as_bytes());
            }
        }
    }

    /// The end of them.
    pub(crate) fn end(self) {
        match self.form {
            Form::Text => self.out.extend_from_slice(b"END\r\n"),
            Form::Binary(head) => head.stat(self.out, b"", b""),
        }
    }
}

/// `stats`, and the words after it.
pub(crate) fn text(mut args: Words<'_>, cx: &mut Cx<'_>, out: &mut Vec<u8>) -> Flow {
    match args.next() {
        Some(b"cachedump") => return dump::cachedump(args, cx, out),
        Some(b"detail") => return detail::text(args.next(), cx, out),
        Some(b"reset") => {
            let done = reset(cx);
            out.extend_from_slice(if done {
                b"RESET\r\n"
            } else {
                b"CLIENT_ERROR stats reset not allowed\r\n"
            });
        }
        Some(b"conns") => match conns::start(Form::Text, cx) {
            Some(flow) => return flow,
            None => out.extend_from_slice(b"CLIENT_ERROR stats conns not allowed\r\n"),
        },
        name => {
            if !figures(name.unwrap_or_default(), Form::Text, cx, out) {
                out.extend_from_slice(b"ERROR\r\n");
            }
        }
    }
    Flow::Continue
}

/// The binary stat. Its name is the same words; what is not known, or no figures, is "Not found".
pub(crate) fn binary(head: Head, name: &[u8], cx: &mut Cx<'_>, out: &mut Vec<u8>) -> Flow {
    let form = Form::Binary(head);
    let mut words = Words::new(name);
    match words.next() {
        Some(b"detail") => detail::binary(head, words.next(), cx, out),
        Some(b"reset") if reset(cx) => Figures::new(form, out).end(),
        Some(b"conns") => match conns::start(form, cx) {
            Some(flow) => return flow,
            None => head.refuse(out, Status::AuthFailed),
        },
        Some(b"reset") => head.refuse(out, Status::AuthFailed),
        name => {
            if !figures(name.unwrap_or_default(), form, cx, out) {
                head.refuse(out, Status::NotFound);
            }
        }
    }
    Flow::Continue
}

/// The figures of that name, if there are such; an empty name is the general ones.
fn figures(name: &[u8], form: Form, cx: &Cx<'_>, out: &mut Vec<u8>) -> bool {
    let mut figures = Figures::new(form, out);
    match name {
        b"" => general::put(&mut figures, cx),
        b"settings" => settings::put(&mut figures, cx),
        b"items" => classes::items(&mut figures, cx),
        b"slabs" => classes::slabs(&mut figures, cx),
        // Sizes are not tracked, as in memcached unless it is told to.
        b"sizes" => figures.put("sizes_status", "disabled"),
        // There is no flash to tell anything of.
        b"extstore" => {}
        _ => return false,
    }
    figures.end();
    true
}

/// Lets everything that only grows begin from 0; whether the credential allows it.
fn reset(cx: &Cx<'_>) -> bool {
    if !cx.access.may(Capabilities::ADMIN) {
        return false;
    }
    if is_node_wide(cx) {
        cx.node.reset();
    } else {
        cx.node.tenant(cx.access.grant.tenant()).reset();
    }
    cx.node.detail.clear(cx.access.grant.tenant());
    true
}

/// Whether the connection sees the node as a whole: there are no accounts, only the tenant of those who name
/// none. A tenant that has an account sees its own figures, also while it is the only one.
pub(crate) fn is_node_wide(cx: &Cx<'_>) -> bool {
    cx.node.directory.load().tenants().all(|tenant| tenant.id == TenantId::DEFAULT)
}

/// Whether the connection may change what concerns the whole node, which several tenants share with each
/// other but with no client. A refusal is counted.
pub(crate) fn may_govern(cx: &Cx<'_>) -> bool {
    let alone = is_node_wide(cx);
    if !alone {
        cx.count(Count::Denied, 1);
    }
    alone && cx.access.may(Capabilities::ADMIN)
}

/// What the connection may see of what was counted.
struct Seen {
    /// All there is, or what is its tenant's.
    node_wide: bool,
    counted: Counted,
    stored: larder_store::Stats,
}

impl Seen {
    fn by(cx: &Cx<'_>) -> Seen {
        if is_node_wide(cx) {
            return Seen { node_wide: true, counted: cx.node.counted(), stored: cx.node.stored() };
        }
        let tenant: Arc<TenantState> = cx.node.tenant(cx.access.grant.tenant());
        Seen { node_wide: false, counted: tenant.counted(), stored: tenant.stored() }
    }
}

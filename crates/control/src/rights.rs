//! Who may do what: the one place where that is decided.

use larder_tenancy::{Capabilities, TenantId, TenantName};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Somebody who runs the fleet and may do everything.
    Operator {
        /// The name.
        name: String,
    },
    /// Somebody who knows the password of a tenant's credential.
    Credential {
        /// The credential's username.
        username: String,
        /// The tenant that it is of.
        tenant: TenantName,
        /// The tenant's number.
        tenant_id: TenantId,
        /// What it may do.
        capabilities: Capabilities,
        /// The keys that it is kept to; none: all.
        key_prefix: Option<String>,
    },
}

/// What is needed to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// To be signed in, as whoever.
    SignedIn,
    /// To look at a tenant: READ, and no key prefix.
    View,
    /// To flush a tenant: FLUSH, and no key prefix.
    Flush,
    /// To manage a tenant: ADMIN, and no key prefix.
    Admin,
    /// To run the fleet.
    Operator,
}

impl Principal {
    /// Whether it may do what needs `need`, to `tenant` where that is about one. Of a tenant that is not
    /// one's own, nothing: what the answer says must be the same as for a tenant that does not exist.
    #[must_use]
    pub fn may(&self, need: Need, tenant: Option<&TenantName>) -> bool {
        let Principal::Credential { tenant: own, capabilities, key_prefix, .. } = self else {
            return true;
        };
        let is_own = tenant.is_none_or(|tenant| tenant == own);
        let wanted = match need {
            Need::SignedIn => return is_own,
            Need::View => Capabilities::READ,
            Need::Flush => Capabilities::FLUSH,
            Need::Admin => Capabilities::ADMIN,
            Need::Operator => return false,
        };
        is_own && key_prefix.is_none() && capabilities.contains(wanted)
    }

    /// Whether it is an operator.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self, Principal::Operator { .. })
    }

    /// As the audit log names it: `operator ann` or `credential 15f38e`.
    #[must_use]
    pub fn who(&self) -> String {
        match self {
            Principal::Operator { name } => format!("operator {name}"),
            Principal::Credential { username, .. } => format!("credential {username}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(capabilities: Capabilities, key_prefix: Option<&str>) -> Principal {
        Principal::Credential {
            username: "15f38e".to_owned(),
            tenant: TenantName::new("shop").unwrap(),
            tenant_id: TenantId::new(1),
            capabilities,
            key_prefix: key_prefix.map(str::to_owned),
        }
    }

    /// Every kind of principal by every need: of the own tenant, or of no tenant in particular.
    #[test]
    fn the_table_of_rights() {
        let needs = [Need::SignedIn, Need::View, Need::Flush, Need::Admin, Need::Operator];
        let table = [
            (Principal::Operator { name: "ann".to_owned() }, [true, true, true, true, true]),
            (credential(Capabilities::ALL, None), [true, true, true, true, false]),
            (credential(Capabilities::USE, None), [true, true, true, false, false]),
            (credential(Capabilities::READ, None), [true, true, false, false, false]),
            (credential(Capabilities::WRITE, None), [true, false, false, false, false]),
            (credential(Capabilities::FLUSH, None), [true, false, true, false, false]),
            (credential(Capabilities::ADMIN, None), [true, false, false, true, false]),
            (credential(Capabilities::NONE, None), [true, false, false, false, false]),
            (credential(Capabilities::ALL, Some("a:")), [true, false, false, false, false]),
        ];
        let (own, other) = (TenantName::new("shop").unwrap(), TenantName::new("shed").unwrap());
        for (principal, expected) in table {
            for (need, expected) in needs.into_iter().zip(expected) {
                assert_eq!(principal.may(need, None), expected, "{principal:?} {need:?}");
                assert_eq!(principal.may(need, Some(&own)), expected, "{principal:?} {need:?}");
                let everywhere = principal.is_operator();
                assert_eq!(principal.may(need, Some(&other)), everywhere, "{principal:?} {need:?}");
            }
        }
    }

    #[test]
    fn the_audit_log_names_them() {
        assert_eq!(credential(Capabilities::ALL, None).who(), "credential 15f38e");
        assert_eq!(Principal::Operator { name: "ann".to_owned() }.who(), "operator ann");
    }
}

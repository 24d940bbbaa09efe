//! Whose event it is: a [`Scope`] is a tenant and an application; a [`TreeScope`] names a configuration tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::VocabularyError;
use super::name::{DEFAULT_TENANT, Name};

/// A tenant and an application, written `tenant/application`. Streams, queues and ids belong to a scope; scopes never
/// see each other's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    tenant: Name,
    application: Name,
}

impl Scope {
    /// The scope of `tenant` and `application`.
    ///
    /// # Errors
    /// [`VocabularyError::Name`] where either is no name; the default tenant `_` is none.
    pub fn new(tenant: &str, application: &str) -> Result<Self, VocabularyError> {
        Ok(Self { tenant: Name::parse("tenant", tenant)?, application: Name::parse("application", application)? })
    }

    /// The tenant.
    pub fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// The application.
    pub fn application(&self) -> &Name {
        &self.application
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.application)
    }
}

impl FromStr for Scope {
    type Err = VocabularyError;
    fn from_str(text: &str) -> Result<Self, VocabularyError> {
        match text.split_once('/') {
            Some((tenant, application)) if !application.contains('/') => Self::new(tenant, application),
            _ => Err(VocabularyError::Scope { found: super::excerpt(text) }),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = VocabularyError;
    fn try_from(text: String) -> Result<Self, VocabularyError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// The name of a configuration tree: `T/A` or `T/A/V`, where the tenant may be the default tenant `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeScope {
    /// `None` is the default tenant, `_`.
    tenant: Option<Name>,
    application: Name,
    variant: Option<Name>,
}

impl TreeScope {
    /// The tree of a tenant (`None`: the default tenant) and an application, of a variant or of none.
    pub fn new(tenant: Option<Name>, application: Name, variant: Option<Name>) -> Self {
        Self { tenant, application, variant }
    }

    /// The tenant; `None` for a default tree.
    pub fn tenant(&self) -> Option<&Name> {
        self.tenant.as_ref()
    }

    /// The application.
    pub fn application(&self) -> &Name {
        &self.application
    }

    /// The variant, where the tree is one of a variant.
    pub fn variant(&self) -> Option<&Name> {
        self.variant.as_ref()
    }

    /// The scope that the tree belongs to; `None` for a default tree, which serves many.
    pub fn scope(&self) -> Option<Scope> {
        let tenant = self.tenant.clone()?;
        Some(Scope { tenant, application: self.application.clone() })
    }

    /// The trees that may serve an event of `scope` and `variant`, in order of look-up: `T/A/V`, `T/A`, `_/A/V`, `_/A`.
    pub fn candidates(scope: &Scope, variant: Option<&Name>) -> impl Iterator<Item = Self> {
        let tenants = [Some(scope.tenant.clone()), None];
        let variants: Vec<Option<Name>> = variant.cloned().map(Some).into_iter().chain([None]).collect();
        let application = scope.application.clone();
        tenants.into_iter().flat_map(move |tenant| {
            let application = application.clone();
            variants.clone().into_iter().map(move |variant| Self::new(tenant.clone(), application.clone(), variant))
        })
    }
}

impl From<Scope> for TreeScope {
    fn from(scope: Scope) -> Self {
        Self { tenant: Some(scope.tenant), application: scope.application, variant: None }
    }
}

impl fmt::Display for TreeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = self.tenant.as_ref().map_or(DEFAULT_TENANT, Name::as_str);
        write!(f, "{tenant}/{}", self.application)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for TreeScope {
    type Err = VocabularyError;
    fn from_str(text: &str) -> Result<Self, VocabularyError> {
        let mut parts = text.split('/');
        let (Some(tenant), Some(application), variant, None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VocabularyError::Scope { found: super::excerpt(text) });
        };
        let tenant = if tenant == DEFAULT_TENANT { None } else { Some(Name::parse("tenant", tenant)?) };
        let application = Name::parse("application", application)?;
        let variant = variant.map(|v| Name::parse("variant", v)).transpose()?;
        Ok(Self { tenant, application, variant })
    }
}

impl TryFrom<String> for TreeScope {
    type Error = VocabularyError;
    fn try_from(text: String) -> Result<Self, VocabularyError> {
        text.parse()
    }
}

impl From<TreeScope> for String {
    fn from(scope: TreeScope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_tree_scopes_print_as_they_parse() {
        assert_eq!("bank/loans".parse::<Scope>().unwrap().to_string(), "bank/loans");
        for text in ["bank/loans", "bank/loans/store-7", "_/loans", "_/loans/pilot"] {
            assert_eq!(text.parse::<TreeScope>().unwrap().to_string(), text);
        }
        for bad in ["bank", "bank/loans/x/y", "/loans", "bank/"] {
            assert!(bad.parse::<TreeScope>().is_err(), "{bad}");
        }
        assert!("_/loans".parse::<Scope>().is_err());
    }

    #[test]
    fn look_up_falls_back_from_the_variant_to_the_default_tree() {
        let scope: Scope = "bank/loans".parse().unwrap();
        let of = |variant: Option<&str>| {
            let variant = variant.map(|v| Name::parse("variant", v).unwrap());
            TreeScope::candidates(&scope, variant.as_ref()).map(|t| t.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("v")), ["bank/loans/v", "bank/loans", "_/loans/v", "_/loans"]);
        assert_eq!(of(None), ["bank/loans", "_/loans"]);
    }
}

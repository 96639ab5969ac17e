//! Who a client is, which rooms are theirs, and which frames they may see. Pure.

use crate::{
    access::{Identity, TokenRole},
    domain::{IdError, KioskId, SiteId, StaffId},
};

/// A client, by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member {
    /// A salesperson's tablet.
    Staff(StaffId),
    /// A public kiosk.
    Kiosk(KioskId),
    /// Another program: sees what staff see, asks for nothing.
    Service(String),
}

/// For whom a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    /// Staff and services.
    Staff,
    /// Every kiosk.
    Kiosks,
    /// One kiosk.
    Kiosk(KioskId),
}

impl Member {
    /// Who presents a token.
    pub(super) fn of(identity: &Identity) -> Result<Self, IdError> {
        Ok(match identity.role {
            TokenRole::Staff => Self::Staff(StaffId::new(identity.subject.as_deref().unwrap_or(&identity.name))?),
            TokenRole::Kiosk => Self::Kiosk(KioskId::new(identity.name.as_str())?),
            TokenRole::Service => Self::Service(identity.name.clone()),
        })
    }

    /// The name of its role on the wire.
    pub(super) fn role(&self) -> &'static str {
        match self {
            Self::Staff(_) => TokenRole::Staff.as_str(),
            Self::Kiosk(_) => TokenRole::Kiosk.as_str(),
            Self::Service(_) => TokenRole::Service.as_str(),
        }
    }

    /// Its id within its role.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Staff(id) => id.as_str(),
            Self::Kiosk(id) => id.as_str(),
            Self::Service(name) => name,
        }
    }

    /// Under which name the store keeps its requests.
    pub(super) fn source(&self) -> String {
        format!("{}:{}", self.role(), self.id())
    }

    /// The rooms that it is in.
    pub(super) fn rooms(&self, site: &SiteId) -> Vec<String> {
        match self {
            Self::Kiosk(id) => vec![format!("showroom:{site}"), format!("kiosk:{id}")],
            Self::Staff(_) | Self::Service(_) => {
                vec![format!("showroom:{site}"), "staff".to_owned(), format!("user:{}", self.id())]
            }
        }
    }

    /// Whether it is a kiosk.
    pub(super) fn is_kiosk(&self) -> bool {
        matches!(self, Self::Kiosk(_))
    }

    /// Whether it may see what is for `audience`.
    pub(super) fn sees(&self, audience: &Audience) -> bool {
        match (self, audience) {
            (Self::Kiosk(_), Audience::Kiosks) => true,
            (Self::Kiosk(me), Audience::Kiosk(whose)) => me == whose,
            (Self::Kiosk(_), Audience::Staff) => false,
            (Self::Staff(_) | Self::Service(_), audience) => *audience == Audience::Staff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(role: TokenRole, name: &str, subject: Option<&str>) -> Member {
        let subject = subject.map(str::to_owned);
        Member::of(&Identity { role, name: name.into(), subject, token_id: "t".into() }).expect("a member")
    }

    #[test]
    fn each_role_has_its_rooms() {
        let site = "hel-01".parse().expect("id");
        let rooms = |member: Member| member.rooms(&site).join(" ");
        assert_eq!(rooms(member(TokenRole::Kiosk, "K1", None)), "showroom:hel-01 kiosk:K1");
        assert_eq!(rooms(member(TokenRole::Staff, "tablet 1", Some("anna"))), "showroom:hel-01 staff user:anna");
        assert_eq!(rooms(member(TokenRole::Service, "crm", None)), "showroom:hel-01 staff user:crm");
    }

    #[test]
    fn a_kiosk_sees_nothing_of_staff_nor_of_other_kiosks() {
        let (kiosk, staff) = (member(TokenRole::Kiosk, "K1", None), member(TokenRole::Staff, "anna", None));
        let of = |id: &str| Audience::Kiosk(id.parse().expect("id"));
        let seen = |member: &Member| [Audience::Staff, Audience::Kiosks, of("K1"), of("K2")].map(|a| member.sees(&a));
        assert_eq!(seen(&kiosk), [false, true, true, false]);
        assert_eq!(seen(&staff), [true, false, false, false]);
    }
}

//! Tags: whom a radio address means. The address itself is personal and stands only in the sealed part.

use super::{Refusal, RefusalCode, Rejection, View};
use crate::domain::{
    CustomerId, EventBody, NewEvent, Personal, Registration, Role, Sealable, StaffId, Subject, Subjects, TagAssigned,
    TagId, TagReleased, VehicleId,
};

/// From now on `tag` means that; nothing when it does already. A tag that changes hands is first released under the key of
/// whoever had it: else the log could not tell, once the next one is erased and with them the address in their event, that
/// the first one has it no more.
pub(super) fn assign(view: &dyn View, tag: &TagId, registration: &Registration) -> Result<Vec<NewEvent>, Rejection> {
    let (subjects, subject) = bearer(registration)?;
    let before = view.tag(tag)?;
    if before.as_ref() == Some(registration) {
        return Ok(Vec::new());
    }
    let released = before.map(|before| released(tag, &before)).transpose()?;
    let Registration { role, subject: name, until } = registration.clone();
    let body = EventBody::TagAssigned(TagAssigned { role, subject: name, until });
    let assigned = NewEvent::new(body, subjects).sealing(address(subject, tag));
    Ok(released.into_iter().chain([assigned]).collect())
}

/// From now on `tag` means nobody; nothing when it did not mean anybody.
pub(super) fn release(view: &dyn View, tag: &TagId) -> Result<Vec<NewEvent>, Rejection> {
    let before = view.tag(tag)?;
    Ok(before.map(|before| released(tag, &before)).transpose()?.into_iter().collect())
}

fn released(tag: &TagId, before: &Registration) -> Result<NewEvent, Refusal> {
    let (subjects, subject) = bearer(before)?;
    Ok(NewEvent::new(EventBody::TagReleased(TagReleased {}), subjects).sealing(address(subject, tag)))
}

fn address(subject: Subject, tag: &TagId) -> Sealable {
    Sealable { subject, fields: Personal::default().with("tag", tag.as_str()) }
}

/// Whom a registration is about, and whose key seals the address.
fn bearer(registration: &Registration) -> Result<(Subjects, Subject), Refusal> {
    let none = Subjects::default();
    let Some(name) = &registration.subject else { return Ok((none, Subject::Site)) };
    let refusal = |what: &str| Refusal::new(RefusalCode::Invalid, format!("subject {name:?} is no {what}"));
    match registration.role {
        Role::Visitor => {
            let id: CustomerId = name.parse().map_err(|_| refusal("customer id (a UUID)"))?;
            Ok((Subjects { customer: Some(id), ..none }, Subject::Customer(id)))
        }
        Role::Staff => {
            let id: StaffId = name.parse().map_err(|_| refusal("staff id"))?;
            Ok((Subjects { staff: Some(id.clone()), ..none }, Subject::Staff(id)))
        }
        Role::Vehicle => {
            let id: VehicleId = name.parse().map_err(|_| refusal("vehicle id"))?;
            Ok((Subjects { vehicle: Some(id), ..none }, Subject::Site))
        }
        Role::Reference => Ok((none, Subject::Site)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::showroom::testing::Showroom;

    #[test]
    fn the_address_stands_only_in_the_sealed_part() {
        let tag: TagId = "ibeacon:u:1:7".parse().expect("id");
        let subject = Some("6f7f0f0a-0000-4000-8000-000000000001".to_owned());
        let visitor = Registration { role: Role::Visitor, subject, until: None };
        let events = assign(&Showroom::default(), &tag, &visitor).expect("decides");
        assert!(!events[0].body.to_data().contains("ibeacon"));
        let sealed = events[0].personal.as_ref().expect("sealed");
        assert_eq!(sealed.fields.text("tag"), Some("ibeacon:u:1:7"));
        assert!(matches!(sealed.subject, Subject::Customer(_)));
        let known = Showroom::default().with_tag(tag.clone(), visitor.clone());
        assert_eq!(assign(&known, &tag, &visitor).expect("decides"), []);
        assert_eq!(release(&known, &tag).expect("decides")[0].body.kind(), "tag.released");
    }

    #[test]
    fn a_tag_that_changes_hands_is_released_under_the_key_of_whoever_had_it() {
        let tag: TagId = "ibeacon:u:1:7".parse().expect("id");
        let of = |n: u8| Registration {
            role: Role::Visitor,
            subject: Some(format!("6f7f0f0a-0000-4000-8000-00000000000{n}")),
            until: None,
        };
        let known = Showroom::default().with_tag(tag.clone(), of(1));
        let events = assign(&known, &tag, &of(2)).expect("decides");
        let told: Vec<_> = events.iter().map(|event| (event.body.kind(), event.subjects.customer)).collect();
        let customer = |n: u8| of(n).subject.and_then(|id| id.parse().ok());
        assert_eq!(told, [("tag.released", customer(1)), ("tag.assigned", customer(2))]);
        let key = events[0].personal.as_ref().map(|sealed| sealed.subject.clone());
        assert_eq!(key, customer(1).map(Subject::Customer));
    }

    #[test]
    fn a_visitor_must_be_a_customer_id() {
        let tag: TagId = "x".parse().expect("id");
        let registration = Registration { role: Role::Visitor, subject: Some("anna".into()), until: None };
        assert!(matches!(assign(&Showroom::default(), &tag, &registration), Err(Rejection::Refused(_))));
    }
}

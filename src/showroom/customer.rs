//! Customers: what identifies them goes sealed under their own key; forgetting them is deleting it.

use crate::domain::{
    CustomerErased, CustomerId, CustomerUpserted, EventBody, NewEvent, Personal, Sealable, Subject, Subjects,
};

/// A customer as the cloud, or a guest's own request, tells of them.
pub(super) fn upsert(
    id: CustomerId,
    personal: &Personal,
    profile: &serde_json::Map<String, serde_json::Value>,
) -> Vec<NewEvent> {
    let body = EventBody::CustomerUpserted(CustomerUpserted { profile: profile.clone() });
    let sealed = Sealable { subject: Subject::Customer(id), fields: personal.clone() };
    vec![NewEvent::new(body, about(id)).sealing(sealed)]
}

/// Forgets a customer; said also of one who is not known, so that a copy made elsewhere is forgotten too.
pub(super) fn erase(id: CustomerId) -> Vec<NewEvent> {
    vec![NewEvent::new(EventBody::CustomerErased(CustomerErased {}), about(id))]
}

fn about(id: CustomerId) -> Subjects {
    Subjects { customer: Some(id), ..Subjects::default() }
}

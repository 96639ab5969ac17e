use rustls::pki_types::{ServerName, UnixTime};
use uuid::Uuid;

use super::*;
use crate::domain::{BootId, Timestamp};

fn said(error: Error, quality: ClockQuality, certified: bool) -> String {
    let at = |text| Timestamp::parse(text).expect("a time");
    let files = TlsFiles {
        ca: "/etc/tls/ca.pem".into(),
        identity: certified.then(|| ("/etc/tls/box.pem".into(), "/etc/tls/box.key".into())),
        crl: Some("/etc/tls/crl.pem".into()),
    };
    let own = Validity { from: at("2026-01-01T00:00:00Z"), until: at("2026-11-01T00:00:00Z") };
    let now = Stamp { wall: at("2026-11-24T10:00:00Z"), mono_ns: 0, boot: BootId(Uuid::nil()), quality };
    let at = Circumstances {
        peer: Peer::BROKER,
        host: "broker.example",
        port: 8883,
        files: &files,
        own: certified.then_some(own),
        now,
    };
    // As the client library wraps it.
    explain(&io::Error::new(ErrorKind::InvalidData, error), true, &at).expect("TLS is the cause").sentence
}

#[test]
fn each_cause_has_its_sentence() {
    use AlertDescription as Alert;
    let when = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
    let expired = CertificateError::ExpiredContext { time: when, not_after: when };
    let early = CertificateError::NotValidYetContext { time: when, not_before: when };
    let expected = ServerName::try_from("broker.example").expect("a name").to_owned();
    let other = CertificateError::NotValidForNameContext { expected, presented: vec!["DnsName(\"b.example\")".into()] };
    let broker = [
        (CertificateError::UnknownIssuer, "not signed by an authority in /etc/tls/ca.pem"),
        (other, "is for b.example, not for broker.example; write the name"),
        (expired, "ended on 2023-11-14, and it is 2026-11-24; give the broker a new one"),
        (early, "begins on 2023-11-14 only, and it is 2026-11-24"),
        (CertificateError::Revoked, "is revoked (by the list in /etc/tls/crl.pem)"),
        (CertificateError::UnknownRevocationStatus, "/etc/tls/crl.pem holds no revocation list of the authority"),
    ];
    for (error, words) in broker {
        let text = said(Error::InvalidCertificate(error), ClockQuality::Synced, true);
        assert!(text.contains(words), "{text}");
    }
    let ours = [
        (Alert::CertificateRevoked, true, "refuses our certificate /etc/tls/box.pem: it is revoked"),
        (Alert::CertificateExpired, true, "as expired: it ended on 2026-11-01; renew it"),
        (Alert::UnknownCA, true, "does not know the authority that signed it"),
        (Alert::CertificateRequired, false, "wants a certificate of ours; name one with its key"),
        (Alert::HandshakeFailure, false, "wants a certificate of ours"),
    ];
    for (alert, certified, words) in ours {
        let text = said(Error::AlertReceived(alert), ClockQuality::Synced, certified);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_clock_that_nothing_confirms_is_named_before_the_certificate_is_blamed() {
    let when = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
    let early = CertificateError::NotValidYetContext { time: when, not_before: when };
    let text = said(Error::InvalidCertificate(early), ClockQuality::Unsynced, true);
    assert!(text.starts_with("this box does not know the time"), "{text}");
    assert!(text.contains("it goes on trying; give the box the time"), "{text}");
}

#[test]
fn what_is_not_tls_is_left_to_others() {
    let files = TlsFiles { ca: "ca.pem".into(), identity: None, crl: None };
    let now =
        Stamp { wall: Timestamp::UNIX_EPOCH, mono_ns: 0, boot: BootId(Uuid::nil()), quality: ClockQuality::Synced };
    let at = Circumstances { peer: Peer::BROKER, host: "b", port: 8883, files: &files, own: None, now };
    assert_eq!(explain(&io::Error::from(ErrorKind::ConnectionRefused), true, &at), None);
    let reset = io::Error::from(ErrorKind::ConnectionReset);
    assert_eq!(explain(&reset, false, &at), None, "a connection that breaks later has nothing to do with TLS");
    let refusal = explain(&reset, true, &at).expect("TLS is the cause");
    assert_eq!((refusal.sentence.contains("port for TLS"), refusal.lasting), (true, false));
}

//! The datagrams of the protocol notes (section 13), and how discovery is read leniently.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use proptest::prelude::*;
use proto_baichuan::Error;
use proto_baichuan::bcudp::{Ack, Conn, Datagram, Discovery, MAX_ACK_TABLE, Timers, crc, scramble};

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

fn check(datagram: &Datagram, hex: &str) {
    assert_eq!(datagram.encode(), unhex(hex));
    assert_eq!(
        Datagram::decode(&unhex(hex)).unwrap().as_ref(),
        Some(datagram)
    );
    // What follows the end is passed over.
    let longer = [&unhex(hex)[..], b"rest"].concat();
    assert_eq!(Datagram::decode(&longer).unwrap().as_ref(), Some(datagram));
}

#[test]
fn the_key_stream_and_the_checksum_are_the_known_ones() {
    for (tid, hex) in [
        (
            0,
            "4b3c2d1f8d7f6c5a4b2e17385a6371822b1a3f86d8f7c6a5b4e17183a5d3f217",
        ),
        (
            87,
            "a23c2d1fe47f6c5aa22e1738b1637182821a3f862ff8c6a50be27183fcd3f217",
        ),
        (
            u32::MAX,
            "4a3c2d1f8c7f6c5a4a2e1738596371822a1a3f86d7f7c6a5b3e17183a4d3f217",
        ),
    ] {
        let mut zeros = [0; 32];
        scramble(tid, &mut zeros);
        assert_eq!(zeros[..], unhex(hex), "{tid}");
    }
    assert_eq!(crc(b"123456789"), 0x2dfd_2d88);
    assert_eq!(crc(&[0; 4]), 0);
    assert_eq!(crc(&[0xff]), 0x2d02_ef8d);
}

#[test]
fn discovery_is_the_vectors() {
    let message = Discovery::C2dS { port: 50_000 };
    check(
        &Datagram::Discovery { tid: 1, message },
        "3acf872a3c0000000100000001000000c950035a706c1f4fb07550197e6a486b65694df6432435baa998b4d18bd441b3
         96e3ce383c535f6bb075507538412932674c32b068456cb8d3cbe9f587b14f89",
    );
    let message = Discovery::C2dC {
        uid: "95270000ABCDEFGH".to_owned(),
        port: 50_001,
        cid: 82_000,
    };
    check(
        &Datagram::Discovery { tid: 87, message },
        "3acf872a97000000010000005700000091dc7e859e6c1f4fda755019906a487b8f694df7eb7e01bf1acaf1953bd241c2
         be90b652e47b6523cb0a053e9c242b5bdd0a4f88be6a50f45bc6f3953bd240bfd3a39d65d6022723cb1c00339c242b5b
         d8074fbab02a0fb613d7a5cc6fdc7bbf91a78729930f182fd850012ed7101d04d50613f7e5240fba009ca3c77e854f89
         c0a3cc40eb721130944166668d6d257cee204f88be356fb47fc6cc",
    );
    let message = Discovery::D2cCr {
        rsp: 0,
        cid: 82_000,
        did: 80,
        timers: Timers::default(),
        account: false,
    };
    check(
        &Datagram::Discovery { tid: 87, message },
        "3acf872a8f0000000100000057000000c9d934539e6c1f4fda75501e906d487bee314f88be6e56eb4a8af8af378614e5
         c2e0c2279200027b811952509e467506805341b2b22610ee4dc6cc99638005bdcae3c22792000277860b52509e016351
         dc0603bc88264df55fc6f699249002f3c2d9ce74cb581327d64f5c6a9e017451d55d7bbee6735bb817c8fa8a6f8b15bd
         f6efdd53907f725cbb2d52509e01470ae15d7b",
    );
}

#[test]
fn data_and_acknowledgements_are_the_vectors() {
    let payload = unhex("f0debc0a5d00000000000000000000040000146400000000").into();
    check(
        &Datagram::Data {
            to: 80,
            packet: 7,
            payload,
        },
        "10cf872a50000000000000000700000018000000f0debc0a5d00000000000000000000040000146400000000",
    );
    let ack = |contiguous, table: &[bool]| Ack {
        contiguous,
        rate: 0,
        table: table.to_vec(),
    };
    check(
        &Datagram::Ack {
            to: 82_000,
            ack: ack(None, &[]),
        },
        "20cf872a5040010000000000ffffffffffffffff0000000000000000",
    );
    check(
        &Datagram::Ack {
            to: 82_000,
            ack: ack(Some(5), &[false, true, true]),
        },
        "20cf872a504001000000000000000000050000000000000003000000000101",
    );
    check(
        &Datagram::Ack {
            to: 80,
            ack: ack(Some(5), &[]),
        },
        "20cf872a500000000000000000000000050000000000000000000000",
    );
}

#[test]
fn an_acknowledgement_never_has_the_table_that_makes_cameras_hang_up() {
    let ack = Ack {
        contiguous: None,
        rate: 0,
        table: vec![true; 1000],
    };
    let bytes = Datagram::Ack { to: 1, ack }.encode();
    assert_eq!(bytes.len(), 28 + MAX_ACK_TABLE);
}

/// A discovery datagram with any text.
fn discovery(text: &str) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    scramble(9, &mut text);
    let mut out = Vec::new();
    for word in [0x2a87_cf3a, text.len() as u32, 1, 9, crc(&text)] {
        out.extend(word.to_le_bytes());
    }
    out.extend(text);
    out
}

#[test]
fn discovery_of_other_clients_is_read() {
    for (text, expected) in [
        (
            "<P2P><C2D_HB><cid>-5</cid><did>7</did></C2D_HB></P2P>",
            Discovery::C2dHb { cid: -5, did: 7 },
        ),
        (
            "\n<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<P2P><C2D_HB><cid>4294967291</cid><did>7</did></C2D_HB></P2P>",
            Discovery::C2dHb { cid: -5, did: 7 },
        ),
        (
            "<P2P><C2D_T><sid>4000000000</sid><conn>relay</conn><cid>1</cid><mtu>1350</mtu></C2D_T></P2P>",
            Discovery::C2dT {
                sid: 4_000_000_000,
                conn: Conn::Relay,
                cid: 1,
            },
        ),
        (
            "<P2P><M2C_Q_R><reg><ip></ip><port>0</port></reg><relay><ip>1.2.3.4</ip><port>5</port></relay></M2C_Q_R></P2P>",
            Discovery::M2cQr {
                reg: None,
                relay: Some("1.2.3.4:5".parse().unwrap()),
                rsp: 0,
            },
        ),
    ] {
        let message = expected;
        let read = Datagram::decode(&discovery(text)).unwrap();
        assert_eq!(
            read,
            Some(Datagram::Discovery { tid: 9, message }),
            "{text}"
        );
    }
    let unknown = discovery("<P2P><D2M_X><cid>1</cid></D2M_X></P2P>");
    assert_eq!(Datagram::decode(&unknown), Ok(None));
}

#[test]
fn damaged_datagrams_are_refused_and_foreign_ones_passed_over() {
    let mut damaged = discovery("<P2P><C2D_S><to><port>1</port></to></C2D_S></P2P>");
    damaged[30] ^= 1;
    assert!(matches!(
        Datagram::decode(&damaged),
        Err(Error::Datagram { .. })
    ));
    assert!(matches!(
        Datagram::decode(&[0; 19]),
        Err(Error::Datagram { .. })
    ));
    assert!(matches!(
        Datagram::decode(&[0; 40]),
        Err(Error::Datagram { .. })
    ));
    assert!(matches!(
        Datagram::decode(&vec![0; 5000]),
        Err(Error::Datagram { .. })
    ));
    let odd = [&0x2a87_cf31_u32.to_le_bytes()[..], &[0; 16]].concat();
    assert_eq!(Datagram::decode(&odd), Ok(None));
}

proptest! {
    #[test]
    fn data_and_acknowledgements_survive_the_wire(
        to: u32, packet: u32, payload in prop::collection::vec(any::<u8>(), 0..1330),
        contiguous in prop::option::of(0..u32::MAX), table in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let data = Datagram::Data { to, packet, payload: Bytes::from(payload) };
        prop_assert_eq!(Datagram::decode(&data.encode()), Ok(Some(data)));
        let ack = Datagram::Ack { to, ack: Ack { contiguous, rate: 0, table } };
        prop_assert_eq!(Datagram::decode(&ack.encode()), Ok(Some(ack)));
    }
}

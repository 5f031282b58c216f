//! The decoder process: reads requests from one pipe, writes answers to another, and can do
//! nothing else.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::decoder::Decoder;
use crate::wire;

/// Most memory of a decoder process: seventeen 10-bit pictures of 16 megapixels, and the program.
const MAX_MEMORY: u64 = 1_536 << 20;

/// Decodes what `input` asks for until it ends. This is the whole of `eyelet decoder`.
///
/// First the process gives up what it does not need: it may open no file and write none, grow only
/// to 1.5 GiB, leave no core, and never gain rights. Damage that camera bytes do to a decoder ends
/// with this process.
///
/// # Errors
/// The pipes broke, or the gateway said what it never says.
pub fn decode(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    confine();
    let mut decoder = Err("no parameter sets came".to_owned());
    let mut head = [0; wire::HEAD];
    loop {
        match input.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let (kind, len) =
            wire::read_head(head, wire::MAX_REQUEST).ok_or(io::ErrorKind::InvalidData)?;
        let mut body = vec![0; len];
        input.read_exact(&mut body)?;
        let mut body = Bytes::from(body);
        match kind {
            wire::PARAMETERS if !body.is_empty() => {
                let codec = body.split_to(1);
                decoder = Decoder::new(codec[0], &body);
            }
            wire::UNIT | wire::PICTURE | wire::LAST_PICTURE => {
                let (is_wanted, is_last) = (kind != wire::UNIT, kind == wire::LAST_PICTURE);
                let picture = match &mut decoder {
                    Ok(decoder) => decoder.decode(&body, is_wanted, is_last),
                    Err(reason) => Err(reason.clone()),
                };
                if is_wanted {
                    answer(&mut output, picture)?;
                }
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn answer(output: &mut impl Write, picture: Result<Option<Vec<u8>>, String>) -> io::Result<()> {
    let (kind, body) = match picture {
        Ok(Some(jpeg)) if jpeg.len() <= wire::MAX_ANSWER => (wire::JPEG, jpeg),
        Ok(Some(_)) => (wire::NOTHING, b"the picture is too large".to_vec()),
        Ok(None) => (wire::NOTHING, b"no picture came out of it".to_vec()),
        Err(reason) => (wire::NOTHING, reason.into_bytes()),
    };
    output.write_all(&wire::head(kind, body.len()))?;
    output.write_all(&body)?;
    output.flush()
}

/// Gives up what decoding does not need. What the kernel refuses here is left as it is: the
/// decoders' own checks stand before all this.
fn confine() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let to = |limit| Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    let _ = setrlimit(Resource::As, to(MAX_MEMORY));
    let _ = setrlimit(Resource::Core, to(0));
    let _ = setrlimit(Resource::Fsize, to(0));
    let _ = setrlimit(Resource::Nofile, to(0));
    let _ = rustix::thread::set_no_new_privs(true);
}

//! The decoders: NAL units in, JPEG pictures out. This is where camera bytes meet a decoder, in a
//! process of its own.

use bytes::Bytes;
use format::{h264, h265};
use media::NalUnits;
use openh264::decoder::{DecodeOptions, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use crate::limits;
use crate::picture::{Colour, Picture, Plane};
use crate::wire;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A decoder for one track.
pub(crate) enum Decoder {
    H264(Box<H264>),
    H265(Box<H265>),
}

pub(crate) struct H264 {
    decoder: openh264::decoder::Decoder,
    colour: Colour,
}

pub(crate) struct H265 {
    decoder: rusty_h265::Decoder,
    colour: Colour,
}

impl Decoder {
    /// A decoder for `codec` ([`wire::H264`], [`wire::H265`]) with its parameter sets, NAL units
    /// behind 4-byte lengths.
    pub(crate) fn new(codec: u8, sets: &Bytes) -> Result<Self, String> {
        let unknown = Colour::guess(None, None, 0);
        let mut decoder = match codec {
            wire::H264 => {
                let api = openh264::OpenH264API::from_source();
                let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
                let decoder = openh264::decoder::Decoder::with_api_config(api, config);
                Self::H264(Box::new(H264 {
                    decoder: decoder.map_err(|error| error.to_string())?,
                    colour: unknown,
                }))
            }
            wire::H265 => Self::H265(Box::new(H265 {
                decoder: rusty_h265::Decoder::new(),
                colour: unknown,
            })),
            other => return Err(format!("codec {other}")),
        };
        // Some decoders report parameter sets without a picture as an error.
        let _ = decoder.decode(sets, false, false);
        Ok(decoder)
    }

    /// Decodes one access unit, and makes a picture of what comes out if one is wanted. `is_last`
    /// brings out a picture that waits for others.
    pub(crate) fn decode(
        &mut self,
        payload: &Bytes,
        is_wanted: bool,
        is_last: bool,
    ) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::H264(decoder) => decoder.decode(payload, is_wanted, is_last),
            Self::H265(decoder) => decoder.decode(payload, is_wanted, is_last),
        }
    }
}

impl H264 {
    fn decode(
        &mut self,
        payload: &Bytes,
        is_wanted: bool,
        is_last: bool,
    ) -> Result<Option<Vec<u8>>, String> {
        const SPS: u8 = 7;
        let mut stream = Vec::with_capacity(payload.len() + 64);
        for nal in NalUnits::new(payload) {
            if nal.first().is_some_and(|head| head & 0x1f == SPS) {
                limits::check_h264(&nal).map_err(|refusal| refusal.to_string())?;
                let sps = h264::Sps::parse(&nal).map_err(|error| error.to_string())?;
                self.colour = Colour::guess(sps.is_full_range, sps.matrix, sps.height);
            }
            stream.extend_from_slice(&START_CODE);
            stream.extend_from_slice(&nal);
        }
        let flush = if is_last {
            Flush::Flush
        } else {
            Flush::NoFlush
        };
        let options = DecodeOptions::new().flush_after_decode(flush);
        let decoded = self.decoder.decode_with_options(&stream, options);
        let decoded = decoded.map_err(|error| error.to_string())?;
        let Some(yuv) = decoded.filter(|_| is_wanted) else {
            return Ok(None);
        };
        let (width, height) = yuv.dimensions();
        let (stride, chroma_stride, _) = yuv.strides();
        let picture = Picture {
            width: side(width)?,
            height: side(height)?,
            planes: [
                Plane {
                    samples: yuv.y(),
                    stride,
                },
                Plane {
                    samples: yuv.u(),
                    stride: chroma_stride,
                },
                Plane {
                    samples: yuv.v(),
                    stride: chroma_stride,
                },
            ],
            depth: 8,
            colour: self.colour,
        };
        picture.encode().map(Some)
    }
}

impl H265 {
    fn decode(
        &mut self,
        payload: &Bytes,
        is_wanted: bool,
        is_last: bool,
    ) -> Result<Option<Vec<u8>>, String> {
        let mut failure = None;
        for nal in NalUnits::new(payload) {
            if h265::NalType::of(&nal) == Some(h265::NalType::Sps) {
                limits::check_h265(&nal).map_err(|refusal| refusal.to_string())?;
                let sps = h265::Sps::parse(&nal).map_err(|error| error.to_string())?;
                self.colour = Colour::guess(None, None, sps.height);
            }
            if let Err(error) = self.decoder.push_nal(&nal, None) {
                failure = Some(error.to_string());
            }
        }
        if is_last {
            self.decoder.flush();
        }
        // A picture comes out when the next one begins. The newest is the one to show.
        let mut newest = None;
        while let Ok(frame) = self.decoder.next_frame() {
            newest = Some(frame);
        }
        match (newest, failure) {
            // A damaged picture is not shown where the next keyframe will mend it.
            (_, Some(failure)) => Err(failure),
            (Some(frame), None) if is_wanted => encode(&frame, self.colour).map(Some),
            (Some(_) | None, None) => Ok(None),
        }
    }
}

fn encode(frame: &rusty_h265::Frame, colour: Colour) -> Result<Vec<u8>, String> {
    let (left, top, width, height) = frame.picture.crop;
    let plane = |index: usize, scale: usize| {
        let plane = &frame.picture.planes[index];
        let start = (top / scale).saturating_mul(plane.stride) + left / scale;
        Plane {
            samples: plane.data.get(start..).unwrap_or_default(),
            stride: plane.stride,
        }
    };
    let picture = Picture {
        width: side(width)?,
        height: side(height)?,
        planes: [plane(0, 1), plane(1, 2), plane(2, 2)],
        depth: frame.picture.bit_depth_luma,
        colour,
    };
    picture.encode()
}

fn side(side: usize) -> Result<u16, String> {
    u16::try_from(side).map_err(|_| format!("a picture with a side of {side} pixels"))
}

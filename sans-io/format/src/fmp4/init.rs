use bytes::Bytes;
use media::{Codec, CodecParameters, Kind, Track};

use super::boxes::Boxes;
use crate::aac::AudioSpecificConfig;
use crate::{Error, h264, h265};

/// Whether browsers may find `codec` in a fragmented MP4 of ours.
///
/// G.711 and JPEG have a place in MP4 files, but no browser plays them from there.
#[must_use]
pub fn is_carried(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265 | Codec::Aac)
}

/// The codec string of RFC 6381 for one track.
pub fn codec_string(track: &Track) -> Result<String, Error> {
    Ok(match Entry::of(track)? {
        Entry::Avc { sps, .. } => sps.codec_string(),
        Entry::Hevc { sps, .. } => sps.codec_string(),
        Entry::Aac { parsed, .. } => parsed.codec_string(),
    })
}

/// What a browser is asked whether it can play: `video/mp4; codecs="avc1.42C01E,mp4a.40.2"`.
pub fn mime(tracks: &[Track]) -> Result<String, Error> {
    let codecs: Result<Vec<String>, Error> = tracks.iter().map(codec_string).collect();
    let has_video = tracks.iter().any(|track| track.kind() == Kind::Video);
    let kind = if has_video { "video" } else { "audio" };
    Ok(format!("{kind}/mp4; codecs=\"{}\"", codecs?.join(",")))
}

/// `ftyp` and `moov` for these tracks; their ids count from 1.
pub fn init_segment(tracks: &[Track]) -> Result<Bytes, Error> {
    let entries: Result<Vec<Entry<'_>>, Error> = tracks.iter().map(Entry::of).collect();
    let entries = entries?;
    let mut w = Boxes::with_capacity(1024);
    w.nest(b"ftyp", |w| {
        w.bytes(b"iso5");
        w.u32(512);
        w.bytes(b"iso5iso6mp41");
    });
    w.nest(b"moov", |w| {
        movie_header(w, tracks.len());
        for (id, (track, entry)) in (1..).zip(tracks.iter().zip(&entries)) {
            write_track(w, id, track, entry);
        }
        w.nest(b"mvex", |w| {
            for (id, _) in (1..).zip(tracks) {
                w.nest_full(b"trex", 0, 0, |w| {
                    w.u32(id);
                    w.u32(1); // default_sample_description_index
                    w.zeros(12); // default duration, size, flags: each fragment tells its own
                });
            }
        });
    });
    Ok(w.freeze())
}

/// A track's parameters, read and found good.
enum Entry<'a> {
    Avc {
        sps: h264::Sps,
        sps_nal: &'a [u8],
        pps_nal: &'a [u8],
    },
    Hevc {
        sps: h265::Sps,
        vps_nal: &'a [u8],
        sps_nal: &'a [u8],
        pps_nal: &'a [u8],
    },
    Aac {
        parsed: AudioSpecificConfig,
        config: &'a [u8],
    },
}

impl<'a> Entry<'a> {
    fn of(track: &'a Track) -> Result<Self, Error> {
        match (track.codec, &track.parameters) {
            (Codec::H264, CodecParameters::H264 { sps, pps }) => Ok(Self::Avc {
                sps: h264::Sps::parse(sps)?,
                sps_nal: sps,
                pps_nal: checked(pps, "H.264 PPS")?,
            }),
            (Codec::H265, CodecParameters::H265 { vps, sps, pps }) => Ok(Self::Hevc {
                sps: h265::Sps::parse(sps)?,
                vps_nal: checked(vps, "H.265 VPS")?,
                sps_nal: sps,
                pps_nal: checked(pps, "H.265 PPS")?,
            }),
            (Codec::Aac, CodecParameters::Aac { config }) => Ok(Self::Aac {
                parsed: AudioSpecificConfig::parse(config)?,
                config: checked_config(config)?,
            }),
            (codec, _) if is_carried(codec) => Err(Error::Mismatch(codec)),
            (codec, _) => Err(Error::Unsupported(codec)),
        }
    }
}

fn checked<'a>(nal: &'a [u8], what: &'static str) -> Result<&'a [u8], Error> {
    match nal.len() {
        0 => Err(Error::Truncated { what, len: 0 }),
        len if len > crate::MAX_PARAMETER_SET => Err(Error::Invalid {
            what,
            field: "length",
            found: len as u64,
            expected: "at most 4096 bytes",
        }),
        _ => Ok(nal),
    }
}

/// Longest AudioSpecificConfig: longer ones would need descriptor lengths of two bytes, and real
/// ones have 2 to 7.
const MAX_AUDIO_CONFIG: usize = 64;

fn checked_config(config: &[u8]) -> Result<&[u8], Error> {
    if config.len() > MAX_AUDIO_CONFIG {
        return Err(Error::Invalid {
            what: "AudioSpecificConfig",
            field: "length",
            found: config.len() as u64,
            expected: "at most 64 bytes",
        });
    }
    Ok(config)
}

/// Fixed point 1.0 of 16.16, and the matrix that leaves pictures as they are.
const ONE: u32 = 0x0001_0000;
const MATRIX: [u32; 9] = [ONE, 0, 0, 0, ONE, 0, 0, 0, 0x4000_0000];
/// `und`: no language, packed in three times five bits.
const NO_LANGUAGE: u16 = 0x55c4;

fn movie_header(w: &mut Boxes, tracks: usize) {
    w.nest_full(b"mvhd", 0, 0, |w| {
        w.zeros(8); // creation and modification time
        w.u32(1_000);
        w.u32(0); // duration: the fragments decide
        w.u32(ONE); // rate
        w.u16(0x0100); // volume
        w.zeros(10);
        MATRIX.iter().for_each(|&value| w.u32(value));
        w.zeros(24);
        w.u32(u32::try_from(tracks).unwrap_or(u32::MAX - 1) + 1); // next_track_ID
    });
}

fn write_track(w: &mut Boxes, id: u32, track: &Track, entry: &Entry<'_>) {
    let size = match entry {
        Entry::Avc { sps, .. } => Some((sps.width, sps.height)),
        Entry::Hevc { sps, .. } => Some((sps.width, sps.height)),
        Entry::Aac { .. } => None,
    };
    w.nest(b"trak", |w| {
        const ENABLED_IN_MOVIE: u32 = 3;
        w.nest_full(b"tkhd", 0, ENABLED_IN_MOVIE, |w| {
            w.zeros(8);
            w.u32(id);
            w.zeros(4);
            w.u32(0); // duration
            w.zeros(8);
            w.zeros(4); // layer, alternate_group
            w.u16(if size.is_none() { 0x0100 } else { 0 }); // volume
            w.zeros(2);
            MATRIX.iter().for_each(|&value| w.u32(value));
            let (width, height) = size.unwrap_or((0, 0));
            w.u32(width << 16);
            w.u32(height << 16);
        });
        w.nest(b"mdia", |w| {
            w.nest_full(b"mdhd", 0, 0, |w| {
                w.zeros(8);
                w.u32(track.clock_rate);
                w.u32(0);
                w.u16(NO_LANGUAGE);
                w.zeros(2);
            });
            let handler = if size.is_some() { b"vide" } else { b"soun" };
            w.nest_full(b"hdlr", 0, 0, |w| {
                w.zeros(4);
                w.bytes(handler);
                w.zeros(12);
                w.bytes(b"eyelet\0");
            });
            w.nest(b"minf", |w| {
                if size.is_some() {
                    w.nest_full(b"vmhd", 0, 1, |w| w.zeros(8));
                } else {
                    w.nest_full(b"smhd", 0, 0, |w| w.zeros(4));
                }
                w.nest(b"dinf", |w| {
                    w.nest_full(b"dref", 0, 0, |w| {
                        const DATA_IS_HERE: u32 = 1;
                        w.u32(1);
                        w.nest_full(b"url ", 0, DATA_IS_HERE, |_| {});
                    });
                });
                w.nest(b"stbl", |w| {
                    w.nest_full(b"stsd", 0, 0, |w| {
                        w.u32(1);
                        write_entry(w, entry, track);
                    });
                    // A fragmented file keeps its sample tables empty.
                    w.nest_full(b"stts", 0, 0, |w| w.zeros(4));
                    w.nest_full(b"stsc", 0, 0, |w| w.zeros(4));
                    w.nest_full(b"stsz", 0, 0, |w| w.zeros(8));
                    w.nest_full(b"stco", 0, 0, |w| w.zeros(4));
                });
            });
        });
    });
}

fn write_entry(w: &mut Boxes, entry: &Entry<'_>, track: &Track) {
    match entry {
        Entry::Avc {
            sps,
            sps_nal,
            pps_nal,
        } => w.nest(b"avc1", |w| {
            visual_entry(w, sps.width, sps.height);
            w.nest(b"avcC", |w| avc_configuration(w, sps, sps_nal, pps_nal));
        }),
        Entry::Hevc {
            sps,
            vps_nal,
            sps_nal,
            pps_nal,
        } => w.nest(b"hvc1", |w| {
            visual_entry(w, sps.width, sps.height);
            let sets = [(32, *vps_nal), (33, *sps_nal), (34, *pps_nal)];
            w.nest(b"hvcC", |w| hevc_configuration(w, sps, sets));
        }),
        Entry::Aac { parsed, config } => w.nest(b"mp4a", |w| {
            let channels = match parsed.channels {
                0 => track.channels.max(1),
                told => told,
            };
            w.zeros(6);
            w.u16(1); // data_reference_index
            w.zeros(8);
            w.u16(channels);
            w.u16(16); // samplesize
            w.zeros(4);
            // 16.16; rates that do not fit are told by the configuration alone.
            w.u16(u16::try_from(parsed.sample_rate).unwrap_or(0));
            w.u16(0);
            w.nest_full(b"esds", 0, 0, |w| elementary_stream(w, config));
        }),
    }
}

fn visual_entry(w: &mut Boxes, width: u32, height: u32) {
    const DPI_72: u32 = 0x0048_0000;
    w.zeros(6);
    w.u16(1); // data_reference_index
    w.zeros(16);
    w.u16(u16::try_from(width).unwrap_or(u16::MAX));
    w.u16(u16::try_from(height).unwrap_or(u16::MAX));
    w.u32(DPI_72);
    w.u32(DPI_72);
    w.zeros(4);
    w.u16(1); // frame_count
    w.zeros(32); // compressorname
    w.u16(0x0018); // depth
    w.u16(0xffff); // pre_defined: -1
}

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1).
fn avc_configuration(w: &mut Boxes, sps: &h264::Sps, sps_nal: &[u8], pps_nal: &[u8]) {
    w.bytes(&[1, sps.profile, sps.constraints, sps.level]);
    w.u8(0b1111_1100 | 3); // four-byte lengths
    w.u8(0b1110_0000 | 1);
    w.with_len16(sps_nal);
    w.u8(1);
    w.with_len16(pps_nal);
    if sps.has_high_fields() {
        w.u8(0b1111_1100 | sps.chroma_format);
        w.u8(0b1111_1000 | (sps.luma_depth - 8));
        w.u8(0b1111_1000 | (sps.chroma_depth - 8));
        w.u8(0); // numOfSequenceParameterSetExt
    }
}

/// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1).
fn hevc_configuration(w: &mut Boxes, sps: &h265::Sps, sets: [(u8, &[u8]); 3]) {
    w.u8(1);
    w.bytes(&sps.profile_tier_level.encode());
    w.u16(0xf000); // min_spatial_segmentation_idc: unknown
    w.u8(0b1111_1100); // parallelismType: unknown
    w.u8(0b1111_1100 | sps.chroma_format);
    w.u8(0b1111_1000 | (sps.luma_depth - 8));
    w.u8(0b1111_1000 | (sps.chroma_depth - 8));
    w.u16(0); // avgFrameRate: unknown
    let nested = u8::from(sps.is_temporal_id_nested);
    w.u8(sps.temporal_layers << 3 | nested << 2 | 3); // four-byte lengths
    w.u8(3);
    for (kind, nal) in sets {
        w.u8(0b1000_0000 | kind); // all of this kind stand here
        w.u16(1);
        w.with_len16(nal);
    }
}

/// `ES_Descriptor` (ISO/IEC 14496-1 section 7.2.6.5) around the AudioSpecificConfig.
fn elementary_stream(w: &mut Boxes, config: &[u8]) {
    const ES: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    const DECODER_SPECIFIC: u8 = 5;
    const SYNC_LAYER: u8 = 6;
    const MPEG4_AUDIO: u8 = 0x40;
    const AUDIO_STREAM: u8 = 5 << 2 | 1;
    let specific = u8::try_from(config.len()).unwrap_or(u8::MAX);
    let decoder = 13 + 2 + specific;
    w.u8(ES);
    w.u8(3 + 2 + decoder + 3);
    w.u16(0); // ES_ID: the track's id counts
    w.u8(0);
    w.u8(DECODER_CONFIG);
    w.u8(decoder);
    w.u8(MPEG4_AUDIO);
    w.u8(AUDIO_STREAM);
    w.zeros(3); // bufferSizeDB
    w.zeros(8); // maximum and average bit rate: unknown
    w.u8(DECODER_SPECIFIC);
    w.u8(specific);
    w.bytes(config);
    w.u8(SYNC_LAYER);
    w.u8(1);
    w.u8(2);
}

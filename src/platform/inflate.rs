//! Request bodies, inflated: a little at a time, in bounded memory, whatever they claim to be.
//!
//! The decompression that actix brings inflates a whole chunk before anybody can look at how much came of it, and lets
//! zstd keep a window of 128 MiB because a header of a few bytes says so. Here no step makes more than `MOST`, and no
//! window is larger than `WINDOW_LOG` says.

use std::io::{self, Write};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Bytes;
use flate2::write::GzDecoder;
use futures_util::{Stream, StreamExt, stream};
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::error::{ApiError, Code};

/// How much of a gzip body is inflated in one step: DEFLATE grows a byte to about a thousand.
const PIECE: usize = 64;
/// The most that comes of one step, in bytes.
const MOST: usize = 128 * 1024;
/// The largest window of zstd that is kept, as a power of two: 8 MiB, which RFC 8878 (3.1.1.1.2) wants of decoders.
const WINDOW_LOG: u32 = 23;

/// How a body was sent.
enum Inflater {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
    /// `whole`: the last frame has ended.
    Zstd {
        decoder: Box<Decoder<'static>>,
        buffer: Vec<u8>,
        whole: bool,
    },
}

impl Inflater {
    /// By the request's Content-Encoding.
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        match request
            .headers()
            .get(header::CONTENT_ENCODING)
            .map(header::HeaderValue::as_bytes)
        {
            None | Some(b"identity") => Ok(Self::Plain),
            Some(b"gzip") => Ok(Self::gzip()),
            Some(b"zstd") => Self::zstd().map_err(ApiError::internal),
            Some(_) => Err(ApiError::new(
                Code::UnsupportedMediaType,
                "Content-Encoding must be gzip, zstd or identity",
            )),
        }
    }

    fn gzip() -> Self {
        Self::Gzip(Box::new(GzDecoder::new(Vec::new())))
    }

    fn zstd() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self::Zstd {
            decoder: Box::new(decoder),
            buffer: vec![0; MOST],
            whole: true,
        })
    }

    /// Inflates some of the bytes, at most [`MOST`] of content, and leaves the rest in `bytes`.
    fn step(&mut self, bytes: &mut Bytes) -> io::Result<Bytes> {
        match self {
            Self::Plain => Ok(std::mem::take(bytes)),
            Self::Gzip(decoder) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                decoder.write_all(&piece)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
            Self::Zstd {
                decoder,
                buffer,
                whole,
            } => {
                let done = decoder.run_on_buffers(bytes, buffer)?;
                let _ = bytes.split_to(done.bytes_read);
                // What does not move will not move later either.
                if done.bytes_read == 0 && done.bytes_written == 0 && !bytes.is_empty() {
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
                *whole = done.remaining == 0;
                let made = buffer.get(..done.bytes_written).unwrap_or_default();
                Ok(Bytes::copy_from_slice(made))
            }
        }
    }

    /// What is left when everything has arrived.
    fn finish(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Plain => Ok(Bytes::new()),
            Self::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
            Self::Zstd {
                decoder,
                buffer,
                whole,
            } => {
                let done = decoder.run_on_buffers(&[], buffer)?;
                let whole = *whole || done.remaining == 0;
                let made = Bytes::copy_from_slice(buffer.get(..done.bytes_written).unwrap_or_default());
                if whole {
                    Ok(made)
                } else if made.is_empty() {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                } else {
                    Ok(made)
                }
            }
        }
    }
}

fn unreadable(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::UnreadableBody, format!("the body cannot be read: {error}"))
}

enum State {
    /// Bytes that came and were not inflated yet.
    Reading(Payload, Bytes),
    Finishing,
    Done,
}

/// The body of a request piece by piece, none larger than 128 KiB of content from less. The bound on the whole is the reader's.
///
/// # Errors
/// 415 for an encoding that is not read here; in the stream, 400 for a body that is not what it says.
pub fn inflated(
    request: &HttpRequest,
    payload: Payload,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + use<>, ApiError> {
    let inflater = Inflater::of(request)?;
    let state = State::Reading(payload, Bytes::new());
    Ok(stream::try_unfold(
        (inflater, state),
        async |(mut inflater, mut state)| loop {
            match state {
                State::Reading(mut payload, mut bytes) => {
                    if bytes.is_empty() {
                        match payload.next().await {
                            Some(chunk) => bytes = chunk.map_err(unreadable)?,
                            None => {
                                state = State::Finishing;
                                continue;
                            }
                        }
                    }
                    let made = if bytes.is_empty() {
                        Bytes::new()
                    } else {
                        inflater.step(&mut bytes).map_err(unreadable)?
                    };
                    state = State::Reading(payload, bytes);
                    if !made.is_empty() {
                        return Ok(Some((made, (inflater, state))));
                    }
                }
                State::Finishing => {
                    let made = inflater.finish().map_err(unreadable)?;
                    // zstd may hold back more than one step shows.
                    let again = matches!(inflater, Inflater::Zstd { .. }) && !made.is_empty();
                    state = if again { State::Finishing } else { State::Done };
                    if !made.is_empty() {
                        return Ok(Some((made, (inflater, state))));
                    }
                }
                State::Done => return Ok(None),
            }
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Everything that comes of bytes sent in chunks of a size, and the most that came of one step.
    fn inflate(mut inflater: Inflater, bytes: &[u8], chunk: usize) -> io::Result<(Vec<u8>, usize)> {
        let (mut all, mut most) = (Vec::new(), 0);
        for chunk in bytes.chunks(chunk) {
            let mut rest = Bytes::copy_from_slice(chunk);
            while !rest.is_empty() {
                let made = inflater.step(&mut rest)?;
                most = most.max(made.len());
                all.extend_from_slice(&made);
            }
        }
        loop {
            let made = inflater.finish()?;
            most = most.max(made.len());
            all.extend_from_slice(&made);
            if made.is_empty() || !matches!(inflater, Inflater::Zstd { .. }) {
                return Ok((all, most));
            }
        }
    }

    #[test]
    fn no_step_makes_much_of_one_chunk_however_well_it_is_compressed() {
        let zeros = vec![0; 64 << 20];
        let bombs = [
            (Inflater::gzip(), gzip(&zeros)),
            (Inflater::zstd().unwrap(), zstd::encode_all(&*zeros, 19).unwrap()),
        ];
        for (inflater, bomb) in bombs {
            assert!(bomb.len() < 100_000, "{}", bomb.len());
            let (all, most) = inflate(inflater, &bomb, bomb.len()).unwrap();
            assert_eq!(all.len(), zeros.len());
            assert!(most <= MOST, "{most}");
        }
    }

    #[test]
    fn a_window_that_would_take_much_memory_is_refused() {
        for (log, kept) in [(WINDOW_LOG, true), (WINDOW_LOG + 1, false)] {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            encoder.window_log(log).unwrap();
            encoder.include_contentsize(false).unwrap();
            encoder.write_all(&vec![7; 20 << 20]).unwrap();
            let sent = encoder.finish().unwrap();
            let done = inflate(Inflater::zstd().unwrap(), &sent, 1000);
            assert_eq!(done.is_ok(), kept, "2^{log}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// Whatever was compressed comes out again, however it was cut; what is cut short is refused.
        #[test]
        fn what_was_compressed_comes_out(content in proptest::collection::vec(0..4u8, 0..5000), chunk in 1..700usize, cut in 1..20usize) {
            let makers: [fn() -> Inflater; 2] = [Inflater::gzip, || Inflater::zstd().unwrap()];
            let sent = [gzip(&content), zstd::encode_all(&*content, 3).unwrap()];
            for (make, sent) in makers.into_iter().zip(sent) {
                let (all, _) = inflate(make(), &sent, chunk).unwrap();
                proptest::prop_assert_eq!(&all, &content);
                let short = &sent[..sent.len().saturating_sub(cut).max(1)];
                proptest::prop_assert!(inflate(make(), short, chunk).is_err());
            }
        }

        #[test]
        fn no_body_panics_or_hangs(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), magic in 0..3usize) {
            for inflater in [Inflater::gzip(), Inflater::zstd().unwrap()] {
                let head: &[u8] = [&[][..], &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd]][magic];
                let _ = inflate(inflater, &[head, &bytes].concat(), 64);
            }
        }
    }
}

//! Binary images of handwritten digits: idx files in a folder, or the small set that comes with the examples.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

/// Rows of an image.
pub(crate) const ROWS: usize = 28;
/// Columns of an image.
pub(crate) const COLUMNS: usize = 28;
/// Pixels of an image.
pub(crate) const PIXELS: usize = ROWS * COLUMNS;

/// File of the training images in a data folder.
pub(crate) const TRAIN: &str = "train-images-idx3-ubyte.gz";
/// File of the validation images in a data folder.
pub(crate) const VALIDATION: &str = "valid-images-idx3-ubyte.gz";
/// File of the test images in a data folder; the only one that may be missing.
pub(crate) const TEST: &str = "t10k-images-idx3-ubyte.gz";

/// First word of an idx file of images: unsigned bytes in three dimensions.
pub(crate) const IMAGES_MAGIC: u32 = 2051;
const HEADER_BYTES: u64 = 16;
/// More images than this do not fit into memory beside the rest of the program.
const MOST_IMAGES: u32 = 1_000_000;
/// A file of so many images is smaller, compressed or not.
const MOST_FILE_BYTES: u64 = 1 << 30;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// The data folder is not there, or is not a folder.
    #[error("{folder}: no such folder; name one that holds {TRAIN} and {VALIDATION}")]
    FolderMissing { folder: PathBuf },

    /// One of the files is missing or wrong.
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: Problem },
}

/// What is wrong with one file of images.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("no such file; {0}")]
    Missing(&'static str),
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("the file has {found} bytes, more than {MOST_IMAGES} images need; split it")]
    LargeFile { found: u64 },
    #[error("the file is empty; fetch it again")]
    EmptyFile,
    #[error("not a gzip file; compress it with `gzip`, or fetch it again")]
    NotGzip,
    #[error("the gzip data end early: the file was cut short; fetch it again")]
    CutShort,
    #[error("the gzip data are damaged ({0}); fetch the file again")]
    Corrupt(io::Error),
    #[error("the file ends inside its header: {found} of {HEADER_BYTES} bytes")]
    ShortHeader { found: u64 },
    #[error(
        "the magic number is {found}, but a file of images starts with {IMAGES_MAGIC} (labels \
         have 2049); point to the idx file of the images"
    )]
    WrongMagic { found: u32 },
    #[error("the images are {rows}x{columns}; this program needs {ROWS}x{COLUMNS}")]
    WrongSize { rows: u32, columns: u32 },
    #[error("the header announces 0 images; at least one is needed")]
    NoImages,
    #[error(
        "the header announces {count} images, and there are more than {MOST_IMAGES}, the most that \
         this program reads; split the file"
    )]
    TooManyImages { count: u32 },
    #[error("the header announces {count} images, {needed} bytes, but only {found} bytes follow")]
    MissingPixels { count: u32, needed: u64, found: u64 },
    #[error("bytes are left after the {count} images that the header announces")]
    TrailingBytes { count: u32 },
    #[error(
        "image {image} has the value {value} at row {row}, column {column}, but pixels must be 0 \
         or 1; binarize gray images first, for instance 1 where the gray level is 128 or more"
    )]
    NotBinary {
        image: usize,
        row: usize,
        column: usize,
        value: u8,
    },
}

/// Binary images of 28x28 pixels, one byte a pixel, each image row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BinaryImages {
    pixels: Vec<u8>,
}

impl BinaryImages {
    /// Reads a gzip-compressed idx file of images with values 0 and 1.
    ///
    /// # Errors
    /// [`DataError::File`] with the path and the first [`Problem`] met.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        read(path, Self::decode)
    }

    /// The images of a gzip-compressed idx file.
    fn decode(file: &[u8]) -> Result<Self, Problem> {
        let pixels = decode_levels(file)?;
        if let Some(at) = pixels.iter().position(|&value| value > 1) {
            return Err(Problem::NotBinary {
                image: at / PIXELS,
                row: at % PIXELS / COLUMNS,
                column: at % COLUMNS,
                value: pixels[at],
            });
        }
        Ok(Self { pixels })
    }

    /// Number of images; at least one.
    pub(crate) fn count(&self) -> usize {
        self.pixels.len() / PIXELS
    }

    /// Pixels of one image, each 0 or 1.
    ///
    /// # Panics
    /// If `index` is not below [`count`](Self::count).
    pub(crate) fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * PIXELS..][..PIXELS]
    }

    /// The chosen images as the rows of a matrix, shape `[indices.len(), PIXELS]`, row after row.
    ///
    /// # Panics
    /// If an index is not below [`count`](Self::count).
    pub(crate) fn batch(&self, indices: &[usize]) -> Vec<f32> {
        let mut pixels = Vec::with_capacity(indices.len() * PIXELS);
        for &index in indices {
            pixels.extend(self.image(index).iter().map(|&value| f32::from(value)));
        }
        pixels
    }

    /// Share of images in which each pixel is 1, shape `[PIXELS]`.
    pub(crate) fn mean(&self) -> Vec<f32> {
        let mut ones = vec![0_u32; PIXELS];
        for image in self.pixels.chunks_exact(PIXELS) {
            for (sum, &value) in ones.iter_mut().zip(image) {
                *sum += u32::from(value);
            }
        }
        let count = self.count() as f64;
        ones.into_iter()
            .map(|sum| (f64::from(sum) / count) as f32)
            .collect()
    }
}

/// Reads a gzip-compressed idx file of images as it is: the grey level of every pixel, from 0 to
/// 255, image after image.
///
/// # Errors
/// [`DataError::File`] with the path and the first [`Problem`] met.
pub(crate) fn read_levels(path: &Path) -> Result<Vec<u8>, DataError> {
    read(path, decode_levels)
}

fn read<T>(path: &Path, decode: fn(&[u8]) -> Result<T, Problem>) -> Result<T, DataError> {
    let decoded = read_file(path).and_then(|file| decode(&file));
    decoded.map_err(|problem| DataError::File {
        path: path.to_owned(),
        problem,
    })
}

/// A file's bytes, as they are.
fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let about = fs::metadata(path).map_err(Problem::Unreadable)?;
    if !about.is_file() {
        return Err(Problem::Unreadable(io::Error::other("not a regular file")));
    }
    if about.len() > MOST_FILE_BYTES {
        return Err(Problem::LargeFile { found: about.len() });
    }
    fs::read(path).map_err(Problem::Unreadable)
}

/// The pixels of a gzip-compressed idx file: four big-endian words (magic number, count, rows,
/// columns), then the pixels.
fn decode_levels(file: &[u8]) -> Result<Vec<u8>, Problem> {
    if file.is_empty() {
        return Err(Problem::EmptyFile);
    }
    if !file.starts_with(&GZIP_MAGIC) {
        return Err(Problem::NotGzip);
    }
    let mut stream = Members::new(file);
    let header = inflate(&mut stream, HEADER_BYTES)?;
    let words: Vec<u32> = header
        .as_chunks()
        .0
        .iter()
        .map(|&word| u32::from_be_bytes(word))
        .collect();
    let &[magic, count, rows, columns] = words.as_slice() else {
        return Err(Problem::ShortHeader {
            found: header.len() as u64,
        });
    };
    if magic != IMAGES_MAGIC {
        return Err(Problem::WrongMagic { found: magic });
    }
    if (rows as usize, columns as usize) != (ROWS, COLUMNS) {
        return Err(Problem::WrongSize { rows, columns });
    }
    if count == 0 {
        return Err(Problem::NoImages);
    }
    let pixels = |images: u32| u64::from(images) * PIXELS as u64;
    let needed = pixels(count);
    // Counted before they are kept, so that a header which announces too much takes no memory. One
    // byte more than needed shows trailing bytes, and asking for it makes the decoder check the
    // stream's sum at the end.
    let most = HEADER_BYTES + needed.min(pixels(MOST_IMAGES)) + 1;
    let mut all = Members::new(file).take(most);
    let found = io::copy(&mut all, &mut io::sink()).map_err(Problem::of_gzip)? - HEADER_BYTES;
    if found > pixels(MOST_IMAGES) {
        return Err(Problem::TooManyImages { count });
    }
    if found < needed {
        return Err(Problem::MissingPixels {
            count,
            needed,
            found,
        });
    }
    if found > needed {
        return Err(Problem::TrailingBytes { count });
    }
    inflate(&mut stream, needed)
}

/// Up to `limit` bytes of a gzip stream, fewer only at its proper end.
fn inflate(stream: &mut impl Read, limit: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let read = stream.take(limit).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(Problem::of_gzip)
}

impl Problem {
    fn of_gzip(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutShort,
            _ => Self::Corrupt(error),
        }
    }
}

/// What the members of a gzip file hold, one after the other. As `gzip` does, it takes zeros after
/// the last one for padding.
struct Members<'a>(Option<GzDecoder<&'a [u8]>>);

impl<'a> Members<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self(Some(GzDecoder::new(file)))
    }
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = *member.get_ref();
            let padding = rest.iter().all(|&byte| byte == 0);
            self.0 = (!padding).then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// The images of one run; [`Display`](fmt::Display) gives a line with its name and counts.
#[derive(Clone, Debug)]
pub(crate) struct Dataset {
    /// Name for people.
    pub(crate) name: String,
    /// Images to learn from.
    pub(crate) train: BinaryImages,
    /// Images that show how well it generalises.
    pub(crate) validation: BinaryImages,
    /// Images kept for a last figure.
    pub(crate) test: Option<BinaryImages>,
}

impl Dataset {
    /// Reads the three files of a folder; only the test images may be missing.
    ///
    /// # Errors
    /// [`DataError`], naming the folder or the file.
    pub(crate) fn load(folder: &Path) -> Result<Self, DataError> {
        if !folder.is_dir() {
            return Err(DataError::FolderMissing {
                folder: folder.to_owned(),
            });
        }
        let required = |file: &str, hint| {
            let path = folder.join(file);
            if path.exists() {
                BinaryImages::read(&path)
            } else {
                Err(DataError::File {
                    path,
                    problem: Problem::Missing(hint),
                })
            }
        };
        let train = required(
            TRAIN,
            "the folder must hold the training images under this name",
        )?;
        let validation = required(
            VALIDATION,
            "move some of the training images, say the last sixth, into a file of this name",
        )?;
        let test = folder.join(TEST);
        let test = test
            .exists()
            .then(|| BinaryImages::read(&test))
            .transpose()?;
        Ok(Self {
            name: folder.display().to_string(),
            train,
            validation,
            test,
        })
    }

    /// The small set of MNIST digits that is compiled into the program; see
    /// `examples/data/README.md`.
    ///
    /// # Errors
    /// [`DataError::File`] if the file was damaged when the program was built.
    pub(crate) fn embedded() -> Result<Self, DataError> {
        let decode = |name: &str, file| {
            BinaryImages::decode(file).map_err(|problem| DataError::File {
                path: Path::new("examples/data/mnist_small").join(name),
                problem,
            })
        };
        Ok(Self {
            name: "small MNIST".to_owned(),
            train: decode(
                TRAIN,
                include_bytes!("../data/mnist_small/train-images-idx3-ubyte.gz"),
            )?,
            validation: decode(
                VALIDATION,
                include_bytes!("../data/mnist_small/valid-images-idx3-ubyte.gz"),
            )?,
            test: None,
        })
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            train,
            validation,
            test,
        } = self;
        write!(
            f,
            "{name}: {} training, {} validation",
            train.count(),
            validation.count()
        )?;
        if let Some(test) = test {
            write!(f, ", {} test", test.count())?;
        }
        write!(f, " images of {ROWS}x{COLUMNS} binary pixels")
    }
}

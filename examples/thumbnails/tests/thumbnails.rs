//! The output of the program, and the pictures that it makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ColorType, DynamicImage, ImageFormat};
use tempfile::TempDir;

/// Writes a picture with 8 bits a sample, which are these over and over.
fn paint(path: PathBuf, format: ImageFormat, size: (u32, u32), color: ColorType, samples: &[u8]) {
    let count = size.0 as usize * size.1 as usize * usize::from(color.channel_count());
    let bytes: Vec<_> = samples.iter().copied().cycle().take(count).collect();
    image::save_buffer_with_format(path, &bytes, size.0, size.1, color, format).unwrap();
}

/// Reads a picture: its size, and its samples.
fn look_at(path: PathBuf) -> ((u32, u32), Vec<u8>) {
    let picture = image::load_from_memory(&fs::read(path).unwrap()).unwrap();
    ((picture.width(), picture.height()), picture.into_bytes())
}

/// A folder of pictures, none of which has anything wrong with it.
fn good_pictures(folder: &TempDir) -> PathBuf {
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    let paint = |name, size, color, pixel: &[u8]| {
        paint(from.join(name), ImageFormat::Png, size, color, pixel);
    };
    paint("wide.png", (640, 480), ColorType::Rgb8, &[9, 99, 199]);
    paint("tall", (3, 900), ColorType::Rgba8, &[200, 100, 0, 128]);
    paint("small.png", (5, 4), ColorType::L8, &[77]);
    fs::create_dir(from.join("folder")).unwrap();
    from
}

fn assert_good_thumbnails(to: &Path) {
    let wide = [9, 99, 199].repeat(128 * 96);
    assert_eq!(look_at(to.join("wide.png")), ((128, 96), wide));
    let tall = [200, 100, 0, 128].repeat(128);
    assert_eq!(look_at(to.join("tall")), ((1, 128), tall));
    assert_eq!(look_at(to.join("small.png")), ((5, 4), vec![77; 20]));
}

fn thumbnails() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thumbnails"));
    command.env("RUST_BACKTRACE", "0");
    command
}

#[test]
fn it_makes_them() {
    let folder = TempDir::new().unwrap();
    let from = good_pictures(&folder);
    let photo = [ImageFormat::Jpeg, ImageFormat::Png];
    for (name, format) in ["photo.jpg", "no photo.jpg"].into_iter().zip(photo) {
        paint(from.join(name), format, (256, 512), ColorType::L8, &[50]);
    }
    for jobs in ["1", "3"] {
        let to = folder.path().join("to").join(jobs);
        let mut thumbnails = thumbnails();
        let output = thumbnails.args(["--jobs", jobs]).arg(&from).arg(&to);
        let output = output.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert_eq!(output.stdout, b"5 made, 0 failed\n");
        for words in (1..=5).map(|n| format!("[{n}/5] ")) {
            assert_eq!(stderr.matches(&words).count(), 1, "{stderr}");
        }
        assert!(stderr.contains("tall has 3 x 900 pixels\n"), "{stderr}");
        assert_good_thumbnails(&to);
        for (name, format) in ["photo.jpg", "no photo.jpg"].into_iter().zip(photo) {
            let bytes = fs::read(to.join(name)).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format);
            let (size, samples) = look_at(to.join(name));
            assert_eq!(size, (64, 128));
            assert!(samples.iter().all(|sample| sample.abs_diff(50) < 3));
        }
        assert_eq!(fs::read_dir(&to).unwrap().count(), 5);
    }
}

/// The start of a picture that claims 6 GiB of pixels.
fn huge() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = DynamicImage::new_rgba8(1, 1);
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    let mut bytes = bytes.into_inner();
    let side = 40_000_u32.to_be_bytes();
    bytes[16..20].copy_from_slice(&side);
    bytes[20..24].copy_from_slice(&side);
    let sum = crc32fast::hash(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&sum);
    bytes
}

#[test]
fn it_goes_on_when_a_picture_kills_its_child() {
    let folder = TempDir::new().unwrap();
    let from = good_pictures(&folder);
    for name in ["crash a", "crash b", "spin", "cut"] {
        paint(
            from.join(name),
            ImageFormat::Png,
            (64, 64),
            ColorType::L8,
            &[255],
        );
    }
    let whole = fs::read(from.join("cut")).unwrap();
    fs::write(from.join("cut"), &whole[..whole.len() / 2]).unwrap();
    fs::write(from.join("text"), "no picture at all").unwrap();
    fs::write(from.join("huge"), huge()).unwrap();
    for jobs in ["1", "3"] {
        let to = folder.path().join("to").join(jobs);
        let mut thumbnails = thumbnails();
        thumbnails.env("THUMBNAILS_CRASH", "crash a:crash b");
        thumbnails.env("THUMBNAILS_SPIN", "spin");
        let output = thumbnails.args(["--jobs", jobs, "--cpu", "1"]);
        let output = output.arg(&from).arg(&to).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), 7, "{stdout}\n{stderr}");
        let (cut, text) = (lines[3], lines[6]);
        assert!(cut.starts_with("cut: not an image: "), "{stdout}");
        assert!(text.starts_with("text: not an image: "), "{stdout}");
        let wanted = [
            "3 made, 6 failed",
            "crash a: its child was ended by signal 4 (SIGILL)",
            "crash b: its child was ended by signal 4 (SIGILL)",
            cut,
            "huge: its child was ended by signal 6 (SIGABRT), probably for want of memory",
            "spin: its child was ended by signal 24 (SIGXCPU), as it took too much CPU time",
            text,
        ];
        assert_eq!(lines, wanted);
        assert!(stderr.contains("] huge failed\n"), "{stderr}");
        assert!(stderr.contains("[9/9] "), "{stderr}");
        assert_good_thumbnails(&to);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 3);
    }
}

#[test]
fn it_explains_its_usage() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "Usage: thumbnails"),
        (&["a"], "<OUT>"),
        (&["a", "b", "c"], "unexpected argument 'c'"),
        (&["--jobs", "0", "a", "b"], "'0' for '--jobs <JOBS>'"),
        (&["a", "b", "--jobs"], "'--jobs <JOBS>'"),
        (&["--verbose", "a", "b"], "'--verbose'"),
    ];
    for (arguments, text) in cases {
        let output = thumbnails().args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
        assert!(output.stdout.is_empty());
    }
    let folder = TempDir::new().unwrap();
    let [from, to] = [folder.path().to_owned(), folder.path().join(".")];
    for (from, to, text) in [
        ("/nowhere/at/all".into(), to.clone(), "/nowhere/at/all"),
        (from, to, "would replace"),
    ] {
        let output = thumbnails().arg(from).arg(to).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
}

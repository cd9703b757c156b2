use offspring::{service, worker};

service! {
    pub trait Files => FilesClient {
        fn size(&self, path: String) -> Result<u64, String>;
        fn all(&self) -> Result<Vec<String>, String>;
    }
}

struct Folder;

impl Files for Folder {
    fn size(&self, path: String) -> Result<u64, String> {
        let found = std::fs::metadata(path);
        found.map(|found| found.len()).map_err(|error| error.to_string())
    }
    fn all(&self) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

worker!(FILES: dyn Files = || Folder);

fn main() {
    offspring::init();
    let files = FILES.spawn().unwrap();
    files.size("a").wait().unwrap().unwrap();
    files.all().wait().unwrap().unwrap();
}

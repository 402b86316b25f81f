//! Links the system's ISA-L (Debian: libisal-dev to build, libisal2 to run).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-lib=dylib=isal");
}

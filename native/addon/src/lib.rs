//! The thin binding between Node-API and the crates: no rule and no algorithm lives here.

mod fuse;
mod local;
mod pack;
mod ring;
mod uv;
mod views;
mod watch;

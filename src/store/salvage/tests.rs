//! Damage of every kind to a database with something of everything in it, and what lives on.

mod damage;
mod erasing;
mod running;
mod sample;

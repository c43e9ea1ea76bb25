//! Ways to die, each of which must be reported.
#![allow(unsafe_code, reason = "faults are what unsafe code is kept from")]

use alloc::boxed::Box;
use core::hint::black_box;
use core::ptr;

/// The fault of a case.
pub fn by_name(case: &str) -> Option<fn()> {
    Some(match case {
        "null" => write_null,
        "write-code" => write_code,
        "write-constant" => write_constant,
        "execute-data" => execute_data,
        "execute-heap" => execute_heap,
        "unmapped" => read_unmapped,
        "stack-overflow" => stack_overflow,
        "divide" => divide_by_zero,
        "invalid-opcode" => invalid_opcode,
        "privileged" => privileged,
        "read-behind-heap" => read_behind_heap,
        _ => return None,
    })
}

/// A panic with a few calls above it.
#[inline(never)]
pub fn panic_deep_inside(depth: u32) {
    if black_box(depth) == 0 {
        panic!("at the bottom");
    }
    panic_deep_inside(depth - 1);
    black_box(depth);
}

fn write_null() {
    let null = black_box(ptr::null_mut::<u8>());
    // SAFETY: none: the fault is the test.
    unsafe { null.write_volatile(1) };
}

fn write_code() {
    let code = black_box(write_code as fn()) as *mut u8;
    // SAFETY: none: the fault is the test.
    unsafe { code.write_volatile(0x90) };
}

fn write_constant() {
    static CONSTANT: [u8; 4] = *b"text";
    let constant = black_box(CONSTANT.as_ptr()).cast_mut();
    // SAFETY: none: the fault is the test.
    unsafe { constant.write_volatile(b'T') };
}

fn execute(code: *const u8) {
    // SAFETY: none: the fault is the test.
    let function: extern "C" fn() = unsafe { core::mem::transmute(code) };
    function();
}

fn execute_data() {
    static mut RETURN: [u8; 16] = [0xc3; 16];
    execute(black_box((&raw const RETURN).cast()));
}

fn execute_heap() {
    let block = Box::new([0xc3u8; 64]);
    execute(black_box(block.as_ptr()));
}

/// What a guest does not notice; a process that was built with a sanitizer does.
#[inline(never)]
fn read_behind_heap() {
    let block = Box::new([0x5au8; 64]);
    // SAFETY: none: the fault is the test.
    black_box(unsafe { black_box(block.as_ptr()).add(64).read_volatile() });
}

fn read_unmapped() {
    let nowhere = black_box(0x1234_5678_9000usize) as *const u8;
    // SAFETY: none: the fault is the test.
    black_box(unsafe { nowhere.read_volatile() });
}

fn stack_overflow() {
    #[allow(unconditional_recursion)]
    fn deeper(n: u64) -> u64 {
        let room = black_box([n; 64]);
        deeper(n + 1) + room[black_box(7)]
    }
    black_box(deeper(0));
}

fn divide_by_zero() {
    // SAFETY: none: the fault is the test.
    unsafe {
        core::arch::asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx",
        out("eax") _, out("ecx") _, out("edx") _)
    };
}

fn invalid_opcode() {
    // SAFETY: none: the fault is the test.
    unsafe { core::arch::asm!("ud2") };
}

fn privileged() {
    // SAFETY: none: the fault is the test.
    unsafe { core::arch::asm!("wrmsr", in("ecx") 0xdead_u32, in("eax") 0, in("edx") 0) };
}

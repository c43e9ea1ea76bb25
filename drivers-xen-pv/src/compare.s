# rdi, rsi: what is compared; rdx: octets. In eax the difference of the first two octets that differ.
2:  cmp rdx, 8
    jb 3f
    mov rax, [rdi]
    cmp rax, [rsi]
    jne 3f
    add rdi, 8
    add rsi, 8
    sub rdx, 8
    jmp 2b
3:  xor eax, eax
4:  test rdx, rdx
    je 5f
    movzx eax, byte ptr [rdi]
    movzx ecx, byte ptr [rsi]
    inc rdi
    inc rsi
    dec rdx
    sub eax, ecx
    je 4b
5:  ret

# rdi: where; sil: with what; rdx: octets. In rax what came in rdi.
    mov rax, rdi
    movzx ecx, sil
    mov rsi, 0x0101010101010101
    imul rcx, rsi
    cmp rdx, 16
    jb 3f
    movq xmm0, rcx
    punpcklqdq xmm0, xmm0
    lea r8, [rdi + rdx - 16]
    sub rdx, 64
    jb 4f
2:  movups [rdi], xmm0
    movups [rdi + 16], xmm0
    movups [rdi + 32], xmm0
    movups [rdi + 48], xmm0
    add rdi, 64
    sub rdx, 64
    jae 2b
4:  add rdx, 64
5:  sub rdx, 16
    jb 6f
    movups [rdi], xmm0
    add rdi, 16
    jmp 5b
6:  movups [r8], xmm0
    ret
3:  cmp edx, 8
    jb 4f
    mov [rdi], rcx
    mov [rdi + rdx - 8], rcx
    ret
4:  cmp edx, 4
    jb 5f
    mov [rdi], ecx
    mov [rdi + rdx - 4], ecx
    ret
5:  test edx, edx
    je 6f
    mov [rdi], cl
    mov [rdi + rdx - 1], cl
    shr edx
    mov [rdi + rdx], cl
6:  ret

# rdi: where to; rsi: where from; rdx: octets. The two may overlap. In rax what came in rdi.
    mov rax, rdi
    cmp rdx, 16
    jb 3f
    cmp rdx, 32
    ja 6f
    movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    ret
# Below 16: the first and the last of the largest size that fits twice, which overlap; both read before one is written.
3:  cmp edx, 8
    jb 4f
    mov rcx, [rsi]
    mov rsi, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], rsi
    ret
4:  cmp edx, 4
    jb 5f
    mov ecx, [rsi]
    mov esi, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], esi
    ret
5:  test edx, edx
    je 9f
    mov r8d, edx
    shr r8d
    movzx ecx, byte ptr [rsi]
    movzx r9d, byte ptr [rsi + r8]
    movzx esi, byte ptr [rsi + rdx - 1]
    mov [rdi], cl
    mov [rdi + r8], r9b
    mov [rdi + rdx - 1], sil
9:  ret
# Above 32: backwards if going forwards would overwrite what is still to be read. What the loop leaves at the end it goes
# to is read before anything is written.
6:  mov rcx, rdi
    sub rcx, rsi
    cmp rcx, rdx
    jb 8f
    cmp rdx, 1024
    jb 4f
    neg rcx
    cmp rcx, 64
    jae 5f
4:  movups xmm4, [rsi + rdx - 32]
    movups xmm5, [rsi + rdx - 16]
    lea r8, [rdi + rdx - 32]
    sub rdx, 64
    jbe 7f
2:  movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + 32], xmm2
    movups [rdi + 48], xmm3
    add rsi, 64
    add rdi, 64
    sub rdx, 64
    ja 2b
7:  cmp rdx, -32
    jle 7f
    movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
7:  movups [r8], xmm4
    movups [r8 + 16], xmm5
    ret
8:  movups xmm4, [rsi]
    movups xmm5, [rsi + 16]
2:  sub rdx, 32
    jbe 7f
    movups xmm0, [rsi + rdx]
    movups xmm1, [rsi + rdx + 16]
    movups [rdi + rdx], xmm0
    movups [rdi + rdx + 16], xmm1
    jmp 2b
7:  movups [rdi], xmm4
    movups [rdi + 16], xmm5
    ret
# From 1024 on, forwards, and not to so little below that a rep is slow: what it takes to begin one is little beside it. The
# last octets are read before anything is written, and written last.
5:  mov r9, [rsi + rdx - 8]
    lea r8, [rdi + rdx - 8]
    mov rcx, rdx
    shr rcx, 3
    rep movsq
    mov [r8], r9
    ret

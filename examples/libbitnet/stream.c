/* Stream what a model makes of a prompt:  ./stream MODEL.gguf "A list is" */
#include <bitnet.h>
#include <stdio.h>

static int32_t print(void* user, const bitnet_generated* generated) {
    (void)user;
    fwrite(generated->piece, 1, (size_t)generated->piece_size, stdout);
    return fflush(stdout);
}

int main(int argc, char** argv) {
    if (argc != 3) return fprintf(stderr, "usage: %s MODEL.gguf PROMPT\n", argv[0]), 2;
    bitnet_model* model = bitnet_model_load(argv[1], NULL);
    bitnet_session* session = model ? bitnet_session_open(model, NULL) : NULL;
    int32_t n = session ? bitnet_generate_text(session, argv[2], NULL, print, NULL) : BITNET_FAILED;
    printf("\n");
    if (n < 0) fprintf(stderr, "%s\n", bitnet_last_error());
    bitnet_session_free(session);
    bitnet_model_free(model);
    return n < 0 ? 1 : 0;
}

# libbitnet: the engine as a C library (include/bitnet.h).  It lies in bitparity_native, beside the Python front, which
# does not use it, as if that folder were a prefix: include/, lib/, lib/cmake/bitnet/ and lib/pkgconfig/.
set(tables ${CMAKE_CURRENT_BINARY_DIR}/tables)
file(GLOB architectures CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/harness/bitparity/architectures/*.py)
add_custom_command(
  OUTPUT ${tables}/architectures.cpp
  COMMAND ${CMAKE_COMMAND} -E make_directory ${tables}
  COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${PROJECT_SOURCE_DIR}/harness PYTHONDONTWRITEBYTECODE=1
    ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/generate/architectures.py ${tables}/architectures.cpp
  DEPENDS generate/architectures.py ${architectures} ${PROJECT_SOURCE_DIR}/harness/bitparity/stages.py
)
set(patterns ${PROJECT_SOURCE_DIR}/harness/bitparity/tokenizer/pre_tokenizers.py)
add_custom_command(
  OUTPUT ${tables}/pre_tokenizers.cpp
  COMMAND ${CMAKE_COMMAND} -E make_directory ${tables}
  COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${PROJECT_SOURCE_DIR}/harness PYTHONDONTWRITEBYTECODE=1
    ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/generate/pre_tokenizers.py ${tables}/pre_tokenizers.cpp
  DEPENDS generate/pre_tokenizers.py ${patterns}
)

add_library(bitnet SHARED
  ${tables}/architectures.cpp
  ${tables}/pre_tokenizers.cpp
  src/library/api_engine.cpp
  src/library/api_generation.cpp
  src/library/api_library.cpp
  src/library/api_model.cpp
  src/library/api_observation.cpp
  src/library/api_session.cpp
  src/library/api_tokens.cpp
  src/library/arithmetic_names.cpp
  src/library/blake3.cpp
  src/library/boundary.cpp
  src/library/byte_level.cpp
  src/library/cursor.cpp
  src/library/devices.cpp
  src/library/generation.cpp
  src/library/gguf.cpp
  src/library/hyperparameters.cpp
  src/library/mapped_file.cpp
  src/library/merger.cpp
  src/library/model.cpp
  src/library/pattern.cpp
  src/library/sampler.cpp
  src/library/sentencepiece.cpp
  src/library/session.cpp
  src/library/shards.cpp
  src/library/stage_filter.cpp
  src/library/tensor_table.cpp
  src/library/text_calls.cpp
  src/library/tokenizer.cpp
  src/library/trace.cpp
  src/library/unicode_classes.cpp
  src/library/unpack.cpp
  src/library/utf8.cpp
  src/library/vocabulary.cpp
  src/library/watchers.cpp
  src/library/weights.cpp
  src/library/words.cpp
)
target_link_libraries(bitnet PRIVATE bitnet_core)
target_include_directories(bitnet PRIVATE src ${PROJECT_SOURCE_DIR}/harness/bitparity
  PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>)
target_compile_options(bitnet PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # GCC 12 warns of strings, its bug 105651
target_compile_definitions(bitnet PRIVATE BITNET_VERSION="${PROJECT_VERSION}")
set_target_properties(bitnet PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
# Hidden visibility leaves templates of the standard library to be seen; the list of exports does not.
if(NOT APPLE)
  target_link_options(bitnet PRIVATE LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/src/library/exports.map)
  set_target_properties(bitnet PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/library/exports.map)
endif()

include(CMakePackageConfigHelpers)
set(package ${CMAKE_CURRENT_BINARY_DIR}/package)
configure_file(bitnet.pc.in ${package}/bitnet.pc @ONLY)
write_basic_package_version_file(${package}/bitnet-config-version.cmake COMPATIBILITY SameMajorVersion)
install(TARGETS bitnet EXPORT bitnet LIBRARY DESTINATION bitparity_native/lib
  INCLUDES DESTINATION bitparity_native/include)
install(EXPORT bitnet NAMESPACE bitnet:: FILE bitnet-config.cmake DESTINATION bitparity_native/lib/cmake/bitnet)
install(FILES ${package}/bitnet-config-version.cmake DESTINATION bitparity_native/lib/cmake/bitnet)
install(FILES ${package}/bitnet.pc DESTINATION bitparity_native/lib/pkgconfig)
install(FILES include/bitnet.h DESTINATION bitparity_native/include)

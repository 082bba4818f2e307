// Why a photo is not in the dataset, in words.

import { inWords, photos, rejectOf } from "./data.js";

/** The reasons that stages give. No person may give one of them: it would say that a stage had left the photo out. */
export const REASON_WORDS = {
    bad_id: "the product_id is too long, or no text or whole number",
    bad_key: "no object of a bucket can have this key",
    bad_position: "the position is no whole number from 0 to 32,767",
    bad_response: "the answer of the host is malformed",
    bad_url: "the URL is no web address",
    beyond_limit: "its listing is not among those that source.limit lets in",
    beyond_position: "the listing has more photos than source.photos_per_listing",
    bridges_release: "it looks like released photos of two subsets, and would join them",
    bucket_not_allowed: "IMAGESET_ALLOWED_BUCKETS does not name the bucket of its URL",
    damaged: "a part of the file is damaged",
    decoder_crash: "decoding crashed, twice",
    decoder_memory: "decoding needed more than 2 GB",
    decoder_timeout: "decoding took over 30 s, twice",
    duplicate: "another photo shows nearly the same pixels, and is larger or sharper (catalog.keep)",
    empty: "the file is empty",
    encoded: "the host sent it compressed although that was not asked for",
    extreme_aspect: "one side is much longer than the other, beyond preprocess.max_aspect_ratio",
    folder_not_allowed: "its URL leads to no folder that IMAGESET_ALLOWED_FOLDERS names",
    forbidden: "the host forbids it (401, 403 or 451)",
    format_avif: "the file is an AVIF, which ingest.formats does not list",
    format_bmp: "the file is a BMP, which ingest.formats does not list",
    format_gif: "the file is a GIF, which ingest.formats does not list",
    format_heic: "the file is a HEIC, which ingest.formats does not list",
    format_ico: "the file is an ICO, which ingest.formats does not list",
    format_jp2: "the file is a JPEG 2000, which ingest.formats does not list",
    format_jpeg: "the file is a JPEG, which ingest.formats does not list",
    format_jxl: "the file is a JPEG XL, which ingest.formats does not list",
    format_mp4: "the file is an MP4, which ingest.formats does not list",
    format_pdf: "the file is a PDF, which ingest.formats does not list",
    format_png: "the file is a PNG, which ingest.formats does not list",
    format_psd: "the file is a PSD, which ingest.formats does not list",
    format_svg: "the file is an SVG, which ingest.formats does not list",
    format_tiff: "the file is a TIFF, which ingest.formats does not list",
    format_webm: "the file is a WebM, which ingest.formats does not list",
    format_webp: "the file is a WebP, which ingest.formats does not list",
    gone: "the host says that it is gone (410)",
    label_conflict: "the labels name several classes, and catalog.label_conflict is drop",
    mask_empty: "the mask has nothing, or too little, of the photo",
    mask_full: "the mask has the whole photo, or too much of it",
    missing_object: "the bucket has no object with the key that the listings name",
    no_id: "the row has no product_id",
    no_label: "no row of labels names a class of its product",
    no_url: "the row has neither URL nor key",
    not_an_image: "the file is no picture",
    not_found: "the host does not have it (404)",
    private_address: "the host has a private address",
    rare_class: "its class has too few photos",
    refused: "the host refused it",
    repeated: "another row names the same photo",
    robots_tag: "the host does not allow this use (X-Robots-Tag)",
    robots_txt: "robots.txt of the host does not allow it",
    server_error: "the host serves other photos, and fails for this one (5xx, or it breaks off)",
    shared_picture: "many products show it: a size chart, a logo, a placeholder",
    taken_down: "somebody asked for its removal: corrections/takedowns.csv",
    too_blurred: "it is blurred, beyond preprocess.min_sharpness",
    too_dark: "it is dark, beyond preprocess.min_brightness",
    too_large: "the file has more bytes than ingest.max_bytes",
    too_light: "it is bright, beyond preprocess.max_brightness",
    too_many_pixels: "it has more pixels than max_pixels allows",
    too_many_redirects: "the host redirects too often",
    too_small: "it has fewer pixels than preprocess.min_side",
    truncated: "a part of the file is missing",
    undecodable: "the file cannot be decoded",
    unknown_class: "the class of its product is not in data/classes.csv",
    unreachable: "the host never answered",
    url_and_key: "the row has both a URL and a key",
};

/** What a person may exclude a photo for, as stage catalog recommends it: what each reason means. */
export const HELP_OF_REASONS = {
    off_topic: "no photo of the product: a screenshot, a price tag, a size chart, a logo",
    several_garments: "several garments, and nothing says which one is sold",
    no_garment: "a photo without a garment: a box, a face, a room",
    bad_mask: "the mask has lost a part of the garment, or has kept something else",
    bad_photo: "too dark, blurred or small to see what it is",
    wrong_product: "a garment, but not the one that the listing sells",
};

/** Say why a photo is not in the dataset: {stage, text}; null for one that is. */
export function explainReject(index) {
    const reject = rejectOf(index);
    if (!reject) {
        return null;
    }
    const { stage, reason } = reject;
    if (Object.hasOwn(REASON_WORDS, reason)) {
        return { stage, text: REASON_WORDS[reason] };
    }
    return { stage, text: photos.decided[index] === 2 ? `a person excluded it, ${inWords(reason)}` : inWords(reason) };
}

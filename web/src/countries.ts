// The countries of the world as a form for phone numbers needs them: to offer them, to
// begin with the right one, and to write a number while it is typed. Made by go generate
// in folder phone, from the data of libphonenumber and of the time zone database; change
// phone/internal/table/countries.ts.tmpl instead. Nobody is asked where the person is:
// what the browser says of itself has to do.

export interface Country {
  /** ISO 3166-1 alpha-2: "GB". */
  readonly id: string;
  /** "+44". */
  readonly code: string;
  /** A mobile number without the code, as it is written there: "7400 123456". */
  readonly example: string;
}

interface Entry extends Country {
  readonly main: boolean; // the first of those that share the code
  readonly leading: string; // first digits of its numbers, where they tell it from others of its code
  readonly trunk: string; // what people dial before a national number: "0"
  readonly shortest: number;
  readonly longest: number;
  readonly zones: string;
}

// id | code, its leading digits, ! for the main country of the code | trunk prefix |
// digits of a mobile number | example | time zones
const table = `AC|247!||5-5|40123
AD|376!||6-9|312 345|Europe/Andorra
AE|971!|0|9-9|50 123 4567|Asia/Dubai
AF|93!|0|9-9|70 123 4567|Asia/Kabul
AG|1-268|1|10-10|268-464-1234|America/Antigua
AI|1-264|1|10-10|264-235-1234|America/Anguilla
AL|355!|0|9-9|67 212 3456|Europe/Tirane
AM|374!|0|8-8|77 123456|Asia/Yerevan
AO|244!||9-9|923 123 456|Africa/Luanda
AR|54!|0|10-11|9 11 2345-6789|America/Argentina/Buenos_Aires,Argentina/Cordoba,Argentina/Salta,Argentina/Jujuy,Argentina/Tucuman,Argentina/Catamarca,Argentina/La_Rioja,Argentina/San_Juan,Argentina/Mendoza,Argentina/San_Luis,Argentina/Rio_Gallegos,Argentina/Ushuaia,Buenos_Aires,Catamarca,Cordoba,Jujuy,Mendoza,Rosario
AS|1-684|1|10-10|684-733-1234|Pacific/Pago_Pago,Samoa
AT|43!|0|7-13|664 123456|Europe/Vienna
AU|61!|0|9-9|412 345 678|Australia/Lord_Howe,Hobart,Melbourne,Sydney,Broken_Hill,Brisbane,Lindeman,Adelaide,Darwin,Perth,Eucla,ACT,Canberra,Currie,NSW,North,Queensland,South,Tasmania,Victoria,West,Yancowinna Antarctica/Macquarie
AW|297!||7-7|560 1234|America/Aruba
AX|358-18|0|6-10|41 2345678|Europe/Mariehamn
AZ|994!|0|9-9|40 123 45 67|Asia/Baku
BA|387!|0|8-9|61 123 456|Europe/Sarajevo
BB|1-246|1|10-10|246-250-1234|America/Barbados
BD|880!|0|10-10|1812-345678|Asia/Dhaka,Dacca
BE|32!|0|9-9|450 00 12 34|Europe/Brussels
BF|226!||8-8|70 12 34 56|Africa/Ouagadougou
BG|359!|0|8-9|43 012 345|Europe/Sofia
BH|973!||8-8|3600 1234|Asia/Bahrain
BI|257!||8-8|79 56 12 34|Africa/Bujumbura
BJ|229!||10-10|01 95 12 34 56|Africa/Porto-Novo
BL|590|0|9-9|690 00 12 34|America/St_Barthelemy
BM|1-441|1|10-10|441-370-1234|Atlantic/Bermuda
BN|673!||7-7|712 3456|Asia/Brunei
BO|591!|0|8-8|71234567|America/La_Paz
BQ|599||7-7|318 1234|America/Kralendijk
BR|55!|0|10-11|11 96123-4567|America/Noronha,Belem,Fortaleza,Recife,Araguaina,Maceio,Bahia,Sao_Paulo,Campo_Grande,Cuiaba,Santarem,Porto_Velho,Boa_Vista,Manaus,Eirunepe,Rio_Branco,Porto_Acre
BS|1-242|1|10-10|242-359-1234|America/Nassau
BT|975!||8-8|17 12 34 56|Asia/Thimphu,Thimbu
BW|267!||8-8|71 123 456|Africa/Gaborone
BY|375!|8|9-9|29 491-19-11|Europe/Minsk
BZ|501!||7-7|622-1234|America/Belize
CA|1|1|10-10|506-234-5678|America/St_Johns,Halifax,Glace_Bay,Moncton,Goose_Bay,Blanc-Sablon,Toronto,Iqaluit,Atikokan,Winnipeg,Resolute,Rankin_Inlet,Regina,Swift_Current,Edmonton,Cambridge_Bay,Inuvik,Creston,Dawson_Creek,Fort_Nelson,Whitehorse,Dawson,Vancouver,Coral_Harbour,Montreal,Nipigon,Thunder_Bay,Rainy_River,Pangnirtung,Yellowknife
CC|61|0|9-9|412 345 678|Indian/Cocos
CD|243!|0|7-9|991 234 567|Africa/Kinshasa,Lubumbashi
CF|236!||8-8|70 01 23 45|Africa/Bangui
CG|242!||9-9|06 123 4567|Africa/Brazzaville
CH|41!|0|9-9|78 123 45 67|Europe/Zurich
CI|225!||10-10|01 23 45 6789|Africa/Abidjan
CK|682!||5-5|71 234|Pacific/Rarotonga
CL|56!||9-9|2 2123 4567|America/Santiago,Coyhaique,Punta_Arenas Pacific/Easter
CM|237!||9-9|6 71 23 45 67|Africa/Douala
CN|86!|0|11-11|131 2345 6789|Asia/Shanghai,Urumqi,Chongqing,Harbin,Kashgar
CO|57!|0|10-10|321 1234567|America/Bogota
CR|506!||8-8|8312 3456|America/Costa_Rica
CU|53!|0|8-8|5 1234567|America/Havana
CV|238!||7-7|991 12 34|Atlantic/Cape_Verde
CW|599!||7-8|9 518 1234|America/Curacao
CX|61|0|9-9|412 345 678|Indian/Christmas
CY|357!||8-8|96 123456|Asia/Nicosia,Famagusta Europe/Nicosia
CZ|420!||9-9|601 123 456|Europe/Prague
DE|49!|0|10-11|1512 3456789|Europe/Berlin,Busingen
DJ|253!||8-8|77 83 10 01|Africa/Djibouti
DK|45!||8-8|34 41 23 45|Europe/Copenhagen
DM|1-767|1|10-10|767-225-1234|America/Dominica
DO|1|1|10-10|809-234-5678|America/Santo_Domingo
DZ|213!|0|9-9|551 23 45 67|Africa/Algiers
EC|593!|0|9-9|99 123 4567|America/Guayaquil Pacific/Galapagos
EE|372!||7-8|5123 4567|Europe/Tallinn
EG|20!|0|10-10|10 01234567|Africa/Cairo
EH|212|0|9-9|6 50 12 34 56|Africa/El_Aaiun
ER|291!|0|7-7|7 123 456|Africa/Asmara,Asmera
ES|34!||9-9|612 34 56 78|Europe/Madrid Africa/Ceuta Atlantic/Canary
ET|251!|0|9-9|91 123 4567|Africa/Addis_Ababa
FI|358!|0|6-10|41 2345678|Europe/Helsinki
FJ|679!||7-7|701 2345|Pacific/Fiji
FK|500!||5-5|51234|Atlantic/Stanley
FM|691!||7-7|350 1234|Pacific/Chuuk,Pohnpei,Kosrae,Ponape,Truk,Yap
FO|298!||6-6|211234|Atlantic/Faroe,Faeroe
FR|33!|0|9-9|6 12 34 56 78|Europe/Paris
GA|241!||7-8|06 03 12 34|Africa/Libreville
GB|44!|0|10-10|7400 123456|Europe/London,Belfast
GD|1-473|1|10-10|473-403-1234|America/Grenada
GE|995!|0|9-9|555 12 34 56|Asia/Tbilisi
GF|594!|0|9-9|694 20 12 34|America/Cayenne
GG|44|0|10-10|7781 123456|Europe/Guernsey
GH|233!|0|9-9|23 123 4567|Africa/Accra
GI|350!||8-8|57123456|Europe/Gibraltar
GL|299!||6-6|22 12 34|America/Nuuk,Danmarkshavn,Scoresbysund,Thule,Godthab
GM|220!||7-7|301 2345|Africa/Banjul
GN|224!||9-9|601 12 34 56|Africa/Conakry
GP|590!|0|9-9|690 00 12 34|America/Guadeloupe
GQ|240!||9-9|222 123 456|Africa/Malabo
GR|30!||10-10|691 234 5678|Europe/Athens
GT|502!||8-8|5123 4567|America/Guatemala
GU|1-671|1|10-10|671-300-1234|Pacific/Guam
GW|245!||9-9|955 012 345|Africa/Bissau
GY|592!||7-7|609 1234|America/Guyana
HK|852!||8-8|5123 4567|Asia/Hong_Kong
HN|504!||8-8|9123-4567|America/Tegucigalpa
HR|385!|0|8-9|92 123 4567|Europe/Zagreb
HT|509!||8-8|34 10 1234|America/Port-au-Prince
HU|36!|06|9-9|20 123 4567|Europe/Budapest
ID|62!|0|9-12|812-345-678|Asia/Jakarta,Pontianak,Makassar,Jayapura,Ujung_Pandang
IE|353!|0|9-9|85 012 3456|Europe/Dublin
IL|972!|0|9-9|50-234-5678|Asia/Jerusalem,Tel_Aviv
IM|44|0|10-10|7924 123456|Europe/Isle_of_Man
IN|91!|0|10-10|81234 56789|Asia/Kolkata,Calcutta
IO|246!||7-7|380 1234|Indian/Chagos
IQ|964!|0|10-10|791 234 5678|Asia/Baghdad
IR|98!|0|10-10|912 345 6789|Asia/Tehran
IS|354!||7-9|611 1234|Atlantic/Reykjavik
IT|39!||9-10|312 345 6789|Europe/Rome
JE|44|0|10-10|7797 712345|Europe/Jersey
JM|1|1|10-10|876-210-1234|America/Jamaica
JO|962!|0|9-9|7 9012 3456|Asia/Amman
JP|81!|0|10-10|90-1234-5678|Asia/Tokyo
KE|254!|0|9-9|712 123456|Africa/Nairobi
KG|996!|0|9-9|700 123 456|Asia/Bishkek
KH|855!|0|8-9|91 234 567|Asia/Phnom_Penh
KI|686!|0|8-8|72001234|Pacific/Tarawa,Kanton,Kiritimati,Enderbury
KM|269!||7-7|321 23 45|Indian/Comoro
KN|1-869|1|10-10|869-765-2917|America/St_Kitts
KP|850!|0|10-10|192 123 4567|Asia/Pyongyang
KR|82!|0|9-10|10-2000-0000|Asia/Seoul
KW|965!||8-8|500 12345|Asia/Kuwait
KY|1-345|1|10-10|345-323-1234|America/Cayman
KZ|7-7|8|10-10|771 000 9998|Asia/Almaty,Qyzylorda,Qostanay,Aqtobe,Aqtau,Atyrau,Oral
LA|856!|0|9-10|20 23 123 456|Asia/Vientiane
LB|961!|0|7-8|71 123 456|Asia/Beirut
LC|1-758|1|10-10|758-284-5678|America/St_Lucia
LI|423!|0|7-9|660 234 567|Europe/Vaduz
LK|94!|0|9-9|71 234 5678|Asia/Colombo
LR|231!|0|7-9|77 012 3456|Africa/Monrovia
LS|266!||8-8|5012 3456|Africa/Maseru
LT|370!|0|8-8|612 34567|Europe/Vilnius
LU|352!||9-9|628 123 456|Europe/Luxembourg
LV|371!||8-8|21 234 567|Europe/Riga
LY|218!|0|9-9|91-2345678|Africa/Tripoli
MA|212!|0|9-9|6 50 12 34 56|Africa/Casablanca
MC|377!|0|8-9|6 12 34 56 78|Europe/Monaco
MD|373!|0|8-8|621 12 345|Europe/Chisinau,Tiraspol
ME|382!|0|8-8|60 123 456|Europe/Podgorica
MF|590|0|9-9|690 00 12 34|America/Marigot
MG|261!|0|9-9|32 12 345 67|Indian/Antananarivo
MH|692!|1|7-7|235-1234|Pacific/Majuro,Kwajalein
MK|389!|0|8-8|72 345 678|Europe/Skopje
ML|223!||8-8|65 01 23 45|Africa/Bamako,Timbuktu
MM|95!|0|7-10|9 212 3456|Asia/Yangon,Rangoon
MN|976!|0|8-8|8812 3456|Asia/Ulaanbaatar,Hovd,Ulan_Bator
MO|853!||8-8|6612 3456|Asia/Macau,Macao
MP|1-670|1|10-10|670-234-5678|Pacific/Saipan
MQ|596!|0|9-9|696 20 12 34|America/Martinique
MR|222!||8-8|22 12 34 56|Africa/Nouakchott
MS|1-664|1|10-10|664-492-3456|America/Montserrat
MT|356!||8-8|9696 1234|Europe/Malta
MU|230!||8-8|5251 2345|Indian/Mauritius
MV|960!||7-7|771-2345|Indian/Maldives
MW|265!|0|9-9|991 23 45 67|Africa/Blantyre
MX|52!||10-10|222 123 4567|America/Mexico_City,Cancun,Merida,Monterrey,Matamoros,Chihuahua,Ciudad_Juarez,Ojinaga,Mazatlan,Bahia_Banderas,Hermosillo,Tijuana,Ensenada,Santa_Isabel
MY|60!|0|9-10|12-345 6789|Asia/Kuala_Lumpur,Kuching
MZ|258!||9-9|82 123 4567|Africa/Maputo
NA|264!|0|9-9|81 123 4567|Africa/Windhoek
NC|687!||6-6|75.12.34|Pacific/Noumea
NE|227!||8-8|93 12 34 56|Africa/Niamey
NF|672!||6-6|3 81234|Pacific/Norfolk
NG|234!|0|10-10|802 123 4567|Africa/Lagos
NI|505!||8-8|8123 4567|America/Managua
NL|31!|0|9-11|6 12345678|Europe/Amsterdam
NO|47!||8-8|40 61 23 45|Europe/Oslo
NP|977!|0|10-10|984-1234567|Asia/Kathmandu,Katmandu
NR|674!||7-7|555 1234|Pacific/Nauru
NU|683!||4-7|888 4012|Pacific/Niue
NZ|64!|0|8-10|21 123 4567|Pacific/Auckland,Chatham
OM|968!||8-8|9212 3456|Asia/Muscat
PA|507!||7-8|6123-4567|America/Panama
PE|51!|0|9-9|912 345 678|America/Lima
PF|689!||8-8|87 12 34 56|Pacific/Tahiti,Marquesas,Gambier
PG|675!||8-8|7012 3456|Pacific/Port_Moresby,Bougainville
PH|63!|0|10-10|905 123 4567|Asia/Manila
PK|92!|0|10-10|301 2345678|Asia/Karachi
PL|48!||9-9|512 345 678|Europe/Warsaw
PM|508!|0|6-9|55 12 34|America/Miquelon
PR|1|1|10-10|787-234-5678|America/Puerto_Rico
PS|970!|0|9-9|599 123 456|Asia/Gaza,Hebron
PT|351!||9-9|912 345 678|Europe/Lisbon Atlantic/Madeira,Azores
PW|680!||7-7|620 1234|Pacific/Palau
PY|595!|0|9-9|961 456789|America/Asuncion
QA|974!||8-8|3312 3456|Asia/Qatar
RE|262!|0|9-9|692 12 34 56|Indian/Reunion
RO|40!|0|9-9|712 034 567|Europe/Bucharest
RS|381!|0|8-10|60 1234567|Europe/Belgrade
RU|7!|8|10-10|912 345-67-89|Europe/Kaliningrad,Moscow,Kirov,Volgograd,Astrakhan,Saratov,Ulyanovsk,Samara Asia/Yekaterinburg,Omsk,Novosibirsk,Barnaul,Tomsk,Novokuznetsk,Krasnoyarsk,Irkutsk,Chita,Yakutsk,Khandyga,Vladivostok,Ust-Nera,Magadan,Sakhalin,Srednekolymsk,Kamchatka,Anadyr
RW|250!|0|9-9|720 123 456|Africa/Kigali
SA|966!|0|9-9|51 234 5678|Asia/Riyadh
SB|677!||5-7|74 21234|Pacific/Guadalcanal
SC|248!||7-7|2 510 123|Indian/Mahe
SD|249!|0|9-9|91 123 1234|Africa/Khartoum
SE|46!|0|9-9|70 123 45 67|Europe/Stockholm
SG|65!||8-8|8123 4567|Asia/Singapore
SH|290!||5-5|51234|Atlantic/St_Helena
SI|386!|0|8-8|31 234 567|Europe/Ljubljana
SJ|47-79||8-8|41 23 45 67|Arctic/Longyearbyen Atlantic/Jan_Mayen
SK|421!|0|9-9|912 123 456|Europe/Bratislava
SL|232!|0|8-8|25 123456|Africa/Freetown
SM|378!||8-8|66 66 12 12|Europe/San_Marino
SN|221!||9-9|70 123 45 67|Africa/Dakar
SO|252!|0|7-9|7 1123456|Africa/Mogadishu
SR|597!||7-7|741-2345|America/Paramaribo
SS|211!|0|9-9|977 123 456|Africa/Juba
ST|239!||7-7|981 2345|Africa/Sao_Tome
SV|503!||8-8|7012 3456|America/El_Salvador
SX|1-721|1|10-10|721-520-5678|America/Lower_Princes
SY|963!|0|9-9|944 567 890|Asia/Damascus
SZ|268!||8-8|7612 3456|Africa/Mbabane
TC|1-649|1|10-10|649-231-1234|America/Grand_Turk
TD|235!||8-8|63 01 23 45|Africa/Ndjamena
TG|228!||8-8|90 11 23 45|Africa/Lome
TH|66!|0|9-9|81 234 5678|Asia/Bangkok
TJ|992!||9-9|91 712 3456|Asia/Dushanbe
TK|690!||4-7|7290|Pacific/Fakaofo
TL|670!||8-8|7721 2345|Asia/Dili
TM|993!|8|8-8|66 123456|Asia/Ashgabat
TN|216!||8-8|20 123 456|Africa/Tunis
TO|676!||7-7|771 5123|Pacific/Tongatapu
TR|90!|0|10-10|501 234 56 78|Europe/Istanbul Asia/Istanbul
TT|1-868|1|10-10|868-291-1234|America/Port_of_Spain
TV|688!||6-7|90 1234|Pacific/Funafuti
TW|886!|0|9-9|912 345 678|Asia/Taipei
TZ|255!|0|9-9|621 234 567|Africa/Dar_es_Salaam
UA|380!|0|9-9|50 123 4567|Europe/Simferopol,Kyiv,Kiev,Uzhgorod,Zaporozhye
UG|256!|0|9-9|712 345678|Africa/Kampala
US|1!|1|10-10|201-555-0123|America/New_York,Detroit,Kentucky/Louisville,Kentucky/Monticello,Indiana/Indianapolis,Indiana/Vincennes,Indiana/Winamac,Indiana/Marengo,Indiana/Petersburg,Indiana/Vevay,Chicago,Indiana/Tell_City,Indiana/Knox,Menominee,North_Dakota/Center,North_Dakota/New_Salem,North_Dakota/Beulah,Denver,Boise,Phoenix,Los_Angeles,Anchorage,Juneau,Sitka,Metlakatla,Yakutat,Nome,Adak,Indianapolis,Louisville,Fort_Wayne,Knox_IN,Shiprock,Atka Pacific/Honolulu
UY|598!|0|8-8|94 231 234|America/Montevideo
UZ|998!||9-9|91 234 56 78|Asia/Samarkand,Tashkent
VA|39-06698||9-10|312 345 6789|Europe/Vatican
VC|1-784|1|10-10|784-430-1234|America/St_Vincent
VE|58!|0|10-10|412-1234567|America/Caracas
VG|1-284|1|10-10|284-300-1234|America/Tortola
VI|1-340|1|10-10|340-642-1234|America/St_Thomas,Virgin
VN|84!|0|9-9|912 345 678|Asia/Ho_Chi_Minh,Saigon
VU|678!||7-7|591 2345|Pacific/Efate
WF|681!||6-6|82 12 34|Pacific/Wallis
WS|685!||7-10|72 12345|Pacific/Apia
XK|383!|0|8-8|43 201 234
YE|967!|0|9-9|712 345 678|Asia/Aden
YT|262|0|9-9|639 01 23 45|Indian/Mayotte
ZA|27!|0|5-9|71 123 4567|Africa/Johannesburg
ZM|260!|0|9-9|95 5123456|Africa/Lusaka
ZW|263!|0|9-9|71 234 5678|Africa/Harare`;

const entries: readonly Entry[] = table.split("\n").map((line) => {
  const [id = "", code = "", trunk = "", digits = "", example = "", zones = ""] = line.split("|");
  const [shortest, longest] = digits.split("-").map(Number);
  const [, calling = "", leading = "", main = ""] = /^(\d+)(?:-(\d+))?(!?)$/.exec(code) ?? [];
  return { id, code: `+${calling}`, main: main !== "", leading, trunk, shortest: shortest!, longest: longest!, example, zones };
});

const byId = new Map(entries.map((e) => [e.id, e]));

/** The country with that id; undefined: there is none. */
export function country(id: string): Country | undefined {
  return byId.get(id);
}

/** All countries, by their name in a language. Names come from the browser. */
export function countries(locale: string): (Country & { name: string })[] {
  let names: Intl.DisplayNames | undefined;
  let order: Intl.Collator | undefined;
  try {
    names = new Intl.DisplayNames(locale, { type: "region" });
    order = new Intl.Collator(locale);
  } catch {
    // No such language: the ids have to do.
  }
  return entries
    .map((e) => ({ id: e.id, code: e.code, example: e.example, name: names?.of(e.id) ?? e.id }))
    .sort((a, b) => (order ?? new Intl.Collator()).compare(a.name, b.name));
}

/**
 * The country to begin with: one of given, calling codes such as "+49" or ids such as
 * "DE", where the site named some; and among those or all the one whose time zone
 * this machine has, or else the one its language is spoken in.
 */
export function guess(
  given: readonly string[] = [],
  zone: string = Intl.DateTimeFormat().resolvedOptions().timeZone,
  languages: readonly string[] = navigator.languages,
): Country {
  const wanted = given.flatMap((g) => {
    const code = `+${g.replace(/\D/g, "")}`;
    return entries.filter((e) => e.id === g.toUpperCase() || e.code === code);
  });
  const choice = wanted.length > 0 ? wanted : entries;
  const there = choice.find((e) => hasZone(e, zone));
  if (there) return there;
  for (const language of languages) {
    const region = regionOf(language);
    const spoken = choice.find((e) => e.id === region);
    if (spoken) return spoken;
  }
  return wanted.find((e) => e.main) ?? wanted[0] ?? byId.get("US")!;
}

function hasZone(e: Entry, zone: string): boolean {
  // "Europe/Berlin,Busingen Asia/…": the names of one continent stand behind it.
  const slash = zone.indexOf("/");
  if (slash < 0) return false;
  return e.zones.split(" ").some((group) => {
    const cut = group.indexOf("/");
    return group.slice(0, cut) === zone.slice(0, slash) && group.slice(cut + 1).split(",").includes(zone.slice(slash + 1));
  });
}

function regionOf(language: string): string | undefined {
  try {
    return new Intl.Locale(language).maximize().region;
  } catch {
    return undefined;
  }
}

/**
 * What was typed, as digits of a number of a country: without the trunk prefix people
 * dial at home. A text that begins with + or 00 names its country itself; where that is
 * known, it takes the place of the one given.
 */
export function read(text: string, chosen: Country): { country: Country; digits: string } {
  const international = /^\s*(?:\+|00)(.*)$/s.exec(text);
  if (international) {
    const all = international[1]!.replace(/\D/g, "");
    const found = ofDigits(all, chosen);
    if (found) return { country: found, digits: withoutTrunk(found, all.slice(found.code.length - 1)) };
    return { country: chosen, digits: all };
  }
  const entry = byId.get(chosen.id)!;
  return { country: chosen, digits: withoutTrunk(entry, text.replace(/\D/g, "")) };
}

function ofDigits(all: string, chosen: Country): Entry | undefined {
  for (let n = 1; n <= 3; n++) {
    const shared = entries.filter((e) => e.code === `+${all.slice(0, n)}`);
    if (shared.length === 0) continue;
    return (
      shared.find((e) => e.leading !== "" && all.startsWith(e.leading, n)) ??
      shared.find((e) => e.id === chosen.id && e.leading === "") ??
      shared.find((e) => e.main)
    );
  }
  return undefined;
}

function withoutTrunk(e: Entry, digits: string): string {
  // No number that has a trunk prefix of 0 begins with a 0 itself. Others may begin like
  // theirs: those that are right as they are stay so.
  const trunk = e.trunk !== "" && digits.startsWith(e.trunk) && (e.trunk.startsWith("0") || digits.length > e.shortest);
  return trunk ? digits.slice(e.trunk.length) : digits;
}

/** The whole number as the server takes it: "+447400123456". */
export function whole(text: string, chosen: Country): string {
  const { country, digits } = read(text, chosen);
  return country.code + digits;
}

/** Whether a number has too few or too many digits for its country; "" when neither. Which numbers there are the server knows. */
export function fault(text: string, chosen: Country): "short" | "long" | "" {
  const { country, digits } = read(text, chosen);
  const entry = byId.get(country.id)!;
  if (digits.length < entry.shortest) return "short";
  return digits.length > entry.longest ? "long" : "";
}

/**
 * What was typed, in the groups in which numbers of the country are written. What comes
 * after the last group is left as it is, and so is a text that names its country itself.
 */
export function grouped(text: string, chosen: Country): string {
  if (/^\s*(?:\+|00)/.test(text)) return text;
  const digits = text.replace(/\D/g, "");
  const entry = byId.get(chosen.id)!;
  // At home the trunk prefix stands before the first group.
  const lead = entry.trunk !== "" && digits.startsWith(entry.trunk) ? entry.trunk : "";
  let out = lead === "" || lead === "0" || digits === lead ? lead : `${lead} `;
  let at = lead.length;
  for (const part of entry.example.match(/\d+|\D+/g) ?? []) {
    if (at >= digits.length) break;
    if (/\d/.test(part)) {
      out += digits.slice(at, at + part.length);
      at += part.length;
    } else {
      out += part;
    }
  }
  return out + digits.slice(at);
}

/** Where the caret belongs after grouped() wrote a text anew: behind as many digits as before. */
export function caret(before: string, at: number, after: string): number {
  let digits = before.slice(0, at).replace(/\D/g, "").length;
  let i = 0;
  for (; i < after.length && digits > 0; i++) if (/\d/.test(after[i]!)) digits--;
  return i;
}

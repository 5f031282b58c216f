// What the page says, in two languages, and how it writes numbers.

const WORDS = {
  en: {
    skip: "To the cameras",
    attention: "Needs attention",
    cameras: "Cameras",
    agents: "Agents",
    forwards: "Forwards",
    state_live: "Live",
    state_connecting: "Connecting",
    state_waiting: "Trying again",
    state_idle: "Idle",
    state_offline: "Away",
    idle_hint: "Nobody is watching, so the camera is left in peace.",
    connecting_hint: "Asking the camera for its picture …",
    retry_in: "Next try in {0}.",
    retry_now: "Trying now.",
    no_reason: "The camera does not answer.",
    agent_away: "Agent “{0}” is not connected.",
    agent_unknown: "Agent “{0}” is not known here. Add it: eyelet agent add {0}",
    agent_away_since: "Agent “{0}” has been away for {1}.",
    agent_never: "Agent “{0}” has not come yet. Start eyelet-agent with its join code.",
    forward_away: "Forward {0} leads nowhere while agent “{1}” is away.",
    pending: "{0} is not ready: {1}",
    play: "Play",
    play_hint: "This camera is only started when you ask.",
    copy_rtsp: "Copy RTSP address",
    copied: "Copied: {0}",
    not_copied: "The browser does not let this page copy. The address: {0}",
    open: "Open {0}",
    back: "All cameras",
    full_screen: "Full screen",
    sound_on: "Sound on",
    sound_off: "Sound off",
    watching: { one: "{0} viewer", other: "{0} viewers" },
    no_viewers: "no viewers",
    via: "via {0}",
    no_camera: "There is no camera “{0}”.",
    no_camera_hint: "Its name may have changed. All cameras are one step back.",
    sum_live: { one: "{0} camera live", other: "{0} cameras live" },
    sum_connecting: { one: "{0} connecting", other: "{0} connecting" },
    sum_idle: { one: "{0} idle", other: "{0} idle" },
    sum_bad: { one: "{0} in trouble", other: "{0} in trouble" },
    sum_agents: { one: "{0} agent connected", other: "{0} agents connected" },
    sum_none: "No cameras yet",
    unreachable: "The gateway does not answer. What you see is {0} old. Next try in {1}.",
    unreachable_first: "The gateway does not answer. Next try in {0}.",
    cameras_empty: "No cameras yet",
    cameras_empty_hint: "Add one to eyelet.yaml and start Eyelet again. A camera behind another router needs an agent beside it.",
    agents_empty: "No agents yet",
    agents_empty_hint: "An agent brings in cameras from behind another router. Make its join code here, then start it beside the camera:",
    forwards_empty: "No forwards yet",
    forwards_empty_hint: "A forward is a port on this machine that leads through an agent to a camera's own port. In eyelet.yaml:",
    camera_address: "Camera",
    actions: "",
    restart: "Restart",
    restart_really: "Really?",
    restart_hint: "Starts the agent's program anew; connections through it end.",
    restarting: "restarting …",
    restarted: "{0} is back after {1}.",
    restart_unknown: "No answer about {0}; the table will show how it is.",
    no_changes_here: "There are no accounts yet: changes are only taken from the gateway's own machine.",
    runs_for: "runs for {0}",
    not_reached: "does not answer",
    log: "Log",
    log_of: "Log of {0}",
    log_loading: "Asking the agent …",
    log_empty: "Nothing yet.",
    log_unreachable: "The gateway does not answer.",
    close: "Close",
    name: "Name",
    state: "State",
    address: "Address",
    round_trip: "Round trip",
    traffic: "In / out",
    returns: "Reconnects",
    program: "Version",
    listen: "Here",
    agent: "Agent",
    target: "Leads to",
    connected_for: "connected for {0}",
    away_for: "away for {0}",
    never_seen: "never seen",
    not_joined: "its join code waits to be used",
    connections: "Connections",
    away: "away",
    ready: "ready",
    source: "Source",
    picture: "Picture",
    sound: "Sound",
    rate: "Bit rate",
    keyframes: "Keyframe every",
    viewers: "Viewers",
    first_picture: "First picture after",
    since: "For",
    received: "Received",
    dropped: "Skipped for slow viewers",
    last_error: "What went wrong",
    addresses: "Where to watch",
    details: "Details",
    copy: "Copy",
    no_browser_codec: "This browser cannot play {0}. Take the RTSP address instead.",
    not_measured: "not known yet",
    millisecond: "ms", second: "s", minute: "min", hour: "h", day: "d",
    mono: "mono", stereo: "stereo",
    fps: "fps",
  },
  ru: {
    skip: "К камерам",
    attention: "Требует внимания",
    cameras: "Камеры",
    agents: "Агенты",
    forwards: "Пробросы портов",
    state_live: "В эфире",
    state_connecting: "Подключение",
    state_waiting: "Пробуем снова",
    state_idle: "Ожидание",
    state_offline: "Нет связи",
    idle_hint: "Никто не смотрит, поэтому камеру не беспокоим.",
    connecting_hint: "Просим у камеры картинку …",
    retry_in: "Следующая попытка через {0}.",
    retry_now: "Пробуем прямо сейчас.",
    no_reason: "Камера не отвечает.",
    agent_away: "Агент «{0}» не на связи.",
    agent_unknown: "Агент «{0}» здесь неизвестен. Добавьте его: eyelet agent add {0}",
    agent_away_since: "Агент «{0}» не на связи уже {1}.",
    agent_never: "Агент «{0}» ещё не приходил. Запустите eyelet-agent с его кодом.",
    forward_away: "Проброс {0} никуда не ведёт, пока агент «{1}» не на связи.",
    pending: "{0} не готов: {1}",
    play: "Смотреть",
    play_hint: "Эта камера включается только по просьбе.",
    copy_rtsp: "Скопировать адрес RTSP",
    copied: "Скопировано: {0}",
    not_copied: "Браузер не даёт копировать с этой страницы. Адрес: {0}",
    open: "Открыть {0}",
    back: "Все камеры",
    full_screen: "Во весь экран",
    sound_on: "Включить звук",
    sound_off: "Выключить звук",
    watching: { one: "{0} зритель", few: "{0} зрителя", many: "{0} зрителей", other: "{0} зрителя" },
    no_viewers: "нет зрителей",
    via: "через {0}",
    no_camera: "Камеры «{0}» нет.",
    no_camera_hint: "Возможно, её переименовали. Все камеры — на шаг назад.",
    sum_live: { one: "{0} камера в эфире", few: "{0} камеры в эфире", many: "{0} камер в эфире", other: "{0} камеры в эфире" },
    sum_connecting: { one: "{0} подключается", few: "{0} подключаются", many: "{0} подключаются", other: "{0} подключаются" },
    sum_idle: { one: "{0} ждёт", few: "{0} ждут", many: "{0} ждут", other: "{0} ждут" },
    sum_bad: { one: "{0} с неполадкой", few: "{0} с неполадками", many: "{0} с неполадками", other: "{0} с неполадками" },
    sum_agents: { one: "{0} агент на связи", few: "{0} агента на связи", many: "{0} агентов на связи", other: "{0} агента на связи" },
    sum_none: "Камер пока нет",
    unreachable: "Шлюз не отвечает. То, что вы видите, устарело на {0}. Следующая попытка через {1}.",
    unreachable_first: "Шлюз не отвечает. Следующая попытка через {0}.",
    cameras_empty: "Камер пока нет",
    cameras_empty_hint: "Добавьте камеру в eyelet.yaml и перезапустите Eyelet. Если камера за чужим роутером, рядом с ней нужен агент.",
    agents_empty: "Агентов пока нет",
    agents_empty_hint: "Агент приводит камеры из-за чужого роутера. Получите здесь код и запустите агента рядом с камерой:",
    forwards_empty: "Пробросов пока нет",
    forwards_empty_hint: "Проброс — порт на этой машине, ведущий через агента к порту самой камеры. В eyelet.yaml:",
    camera_address: "Камера",
    actions: "",
    restart: "Перезапустить",
    restart_really: "Точно?",
    restart_hint: "Программа агента запустится заново; соединения через неё оборвутся.",
    restarting: "перезапускается …",
    restarted: "{0}: снова на связи через {1}.",
    restart_unknown: "О {0} нет ответа; таблица покажет, что с ним.",
    no_changes_here: "Учётных записей пока нет: менять что-либо можно только с самой машины шлюза.",
    runs_for: "работает {0}",
    not_reached: "не отвечает",
    log: "Журнал",
    log_of: "Журнал {0}",
    log_loading: "Спрашиваем агента …",
    log_empty: "Пока пусто.",
    log_unreachable: "Шлюз не отвечает.",
    close: "Закрыть",
    name: "Имя",
    state: "Состояние",
    address: "Адрес",
    round_trip: "Задержка",
    traffic: "Принято / отдано",
    returns: "Переподключений",
    program: "Версия",
    listen: "Здесь",
    agent: "Агент",
    target: "Ведёт к",
    connected_for: "на связи {0}",
    away_for: "нет связи {0}",
    never_seen: "не появлялся",
    not_joined: "код ещё не использован",
    connections: "Соединения",
    away: "нет связи",
    ready: "готов",
    source: "Источник",
    picture: "Картинка",
    sound: "Звук",
    rate: "Поток",
    keyframes: "Ключевой кадр каждые",
    viewers: "Зрители",
    first_picture: "Первая картинка через",
    since: "Уже",
    received: "Принято",
    dropped: "Пропущено для медленных",
    last_error: "Что случилось",
    addresses: "Где смотреть",
    details: "Подробно",
    copy: "Копировать",
    no_browser_codec: "Этот браузер не умеет показывать {0}. Возьмите адрес RTSP.",
    not_measured: "пока неизвестно",
    millisecond: "мс", second: "с", minute: "мин", hour: "ч", day: "д",
    mono: "моно", stereo: "стерео",
    fps: "к/с",
  },
};

export const language = (navigator.languages ?? [navigator.language])
  .map((tag) => tag.slice(0, 2).toLowerCase())
  .find((tag) => tag in WORDS) ?? "en";

const plural = new Intl.PluralRules(language);

/** The words for `key`, with `{0}`, `{1}` … replaced; a number picks the plural form. */
export function t(key, ...values) {
  let text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  if (typeof text === "object") text = text[plural.select(values[0])] ?? text.other;
  // A number stays on the line of its noun.
  if (typeof values[0] === "number") text = text.replace("{0} ", "{0}\u00a0");
  return text.replace(/\{(\d)\}/g, (_, index) => (typeof values[index] === "number" ? number(values[index]) : values[index]));
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

const scaled = (value, step, units) => {
  let at = 0;
  while (value >= step && at < units.length - 1) {
    value /= step;
    at += 1;
  }
  return `${number(value, value < 10 && at > 0 ? 1 : 0)} ${units[at]}`;
};

export const bits = (value) => scaled(value, 1000, language === "ru" ? ["бит/с", "кбит/с", "Мбит/с", "Гбит/с"] : ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);
export const bytes = (value) => scaled(value, 1024, language === "ru" ? ["Б", "КиБ", "МиБ", "ГиБ", "ТиБ"] : ["B", "KiB", "MiB", "GiB", "TiB"]);

/** A length of time in the two largest units that matter. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}\u00a0${t("second")}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}\u00a0${t("minute")}`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}\u00a0${t("hour")} ${minutes % 60}\u00a0${t("minute")}`;
  return `${Math.floor(hours / 24)}\u00a0${t("day")} ${hours % 24}\u00a0${t("hour")}`;
}

/** Translates the parts of the page that stand in its HTML. */
export function translatePage() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = t(node.dataset.word);
}
